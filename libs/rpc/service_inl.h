// How typed handlers become methods that know messages only by google::protobuf::Message, so that
// everything round a call is compiled once, in .cc files. Private to service.h.
#pragma once

#include <utility>

#include "libs/rpc/service.h"

namespace buurtlog::rpc {

// The right and the duty to answer one unary call, once.
class UnaryReply {
 public:
  class Sink {
   public:
    // `response` is set exactly when `status` is OK.
    virtual void Answer(const absl::Status& status, const google::protobuf::Message* response) = 0;

   protected:
    ~Sink() = default;
  };

  explicit UnaryReply(Sink& sink) : sink_(&sink) {}
  UnaryReply(UnaryReply&& other) noexcept : sink_(std::exchange(other.sink_, nullptr)) {}
  UnaryReply& operator=(UnaryReply&&) = delete;
  ~UnaryReply();

  void operator()(const absl::Status& status, const google::protobuf::Message* response) {
    if (Sink* const sink = std::exchange(sink_, nullptr)) sink->Answer(status, response);
  }

 private:
  Sink* sink_;
};

// StreamWriter without its type.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual void Write(const google::protobuf::Message& response,
                     absl::AnyInvocable<void(absl::Status)> written) = 0;
  virtual void Finish(absl::Status status) = 0;
  virtual bool ended() const = 0;
  virtual void OnEnd(absl::AnyInvocable<void()> ended) = 0;
};

// What a dropped reply or writer answers.
absl::Status DroppedStatus();

template <typename Response>
class StreamWriterOf final : public StreamWriter<Response> {
 public:
  explicit StreamWriterOf(std::shared_ptr<StreamSink> sink) : sink_(std::move(sink)) {}
  ~StreamWriterOf() override { sink_->Finish(DroppedStatus()); }

  void Write(Response response, absl::AnyInvocable<void(absl::Status)> written) override {
    sink_->Write(response, std::move(written));
  }
  void Finish(absl::Status status) override { sink_->Finish(std::move(status)); }
  bool ended() const override { return sink_->ended(); }
  void OnEnd(absl::AnyInvocable<void()> ended) override { sink_->OnEnd(std::move(ended)); }

 private:
  const std::shared_ptr<StreamSink> sink_;
};

// One method with its handler. Handlers are called from many threads at once.
class Method {
 public:
  using UnaryHandler =
      absl::AnyInvocable<void(const CallContext&, const google::protobuf::Message&, UnaryReply)>;
  using StreamHandler = absl::AnyInvocable<void(
      const CallContext&, const google::protobuf::Message&, std::shared_ptr<StreamSink>)>;

  // Exactly one of the handlers is set. The prototypes live for ever, as default instances do.
  Method(std::string_view name, const google::protobuf::Message& request,
         const google::protobuf::Message& response, UnaryHandler unary, StreamHandler stream)
      : name_(name),
        request_(request),
        response_(response),
        unary_(std::move(unary)),
        stream_(std::move(stream)) {}

  const std::string& name() const { return name_; }
  const google::protobuf::Message& request() const { return request_; }
  const google::protobuf::Message& response() const { return response_; }
  bool streams() const { return static_cast<bool>(stream_); }
  UnaryHandler& unary() { return unary_; }
  StreamHandler& stream() { return stream_; }

 private:
  const std::string name_;
  const google::protobuf::Message& request_;
  const google::protobuf::Message& response_;
  UnaryHandler unary_;
  StreamHandler stream_;
};

template <typename Request, typename Response>
void Service::Unary(
    std::string_view method,
    absl::AnyInvocable<void(const CallContext&, const Request&, Reply<Response>)> handler) {
  Add(std::make_unique<Method>(
      method, Request::default_instance(), Response::default_instance(),
      [handler = std::move(handler)](const CallContext& call,
                                     const google::protobuf::Message& request,
                                     UnaryReply reply) mutable {
        handler(call, static_cast<const Request&>(request),
                [reply = std::move(reply)](absl::StatusOr<Response> response) mutable {
                  reply(response.status(), response.ok() ? &*response : nullptr);
                });
      },
      nullptr));
}

template <typename Request, typename Response>
void Service::ServerStream(std::string_view method,
                           absl::AnyInvocable<void(const CallContext&, const Request&,
                                                   std::shared_ptr<StreamWriter<Response>>)>
                               handler) {
  Add(std::make_unique<Method>(
      method, Request::default_instance(), Response::default_instance(), nullptr,
      [handler = std::move(handler)](const CallContext& call,
                                     const google::protobuf::Message& request,
                                     std::shared_ptr<StreamSink> sink) mutable {
        handler(call, static_cast<const Request&>(request),
                std::make_shared<StreamWriterOf<Response>>(std::move(sink)));
      }));
}

}  // namespace buurtlog::rpc
