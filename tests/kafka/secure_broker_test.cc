// A region whose brokers want TLS and a password, as the file of `--kafka_properties` has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/testing/patience.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::end_to_end {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kPassword[] = "a-password-that-nobody-logs";

class SecureBrokerTest : public ::testing::Test {
 protected:
  SecureBrokerTest() {
    MakeCertificate();
    WriteBrokerSettings();
    const ProgramResult started =
        Broker({"start", "--port", absl::StrCat(PortOf(plain_)), "--with-pid",
                absl::StrCat(getpid()), "--settings", Path("broker_settings")});
    EXPECT_EQ(started.exit_code, 0) << started.err;
  }
  ~SecureBrokerTest() override { Broker({"kill"}); }

  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_.path(), "/", name);
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
  }

  // What clients say to the broker.
  void WriteProperties(const std::string& password, const std::string& authority) const {
    Write("client", absl::StrCat("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n",
                                 "sasl.username=buurtlog\nsasl.password=", password,
                                 "\nssl.ca.location=", Path(authority), "\n"));
  }
  ProgramResult Copy() const {
    return Run({Program("buurtlog"), "log", "copy", "--from", "sqlite:" + Path("data"), "--to",
                "kafka:" + secure_, "--region", "secure", "--kafka_replication", "1",
                "--kafka_properties", Path("client")});
  }
  static ProgramResult Run(const std::vector<std::string>& words) {
    const auto result = RunProgram(words, Patience(absl::Seconds(120)));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(ProgramResult());
  }

  const TemporaryFolder folder_;
  const std::string secure_ = FreeAddress();

 private:
  static int PortOf(const std::string& address) {
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    return port;
  }
  ProgramResult Broker(std::vector<std::string> words) const {
    words.insert(words.begin(), absl::StrCat(BUURTLOG_SOURCE_DIR, "/tools/kafka/broker"));
    words.insert(words.end(), {"--folder", Path("kafka")});
    return Run(words);
  }
  // Each its own authority, for this machine's address.
  void MakeCertificate() const {
    for (const char* name : {"broker", "stranger"}) {
      const ProgramResult made =
          Run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
               "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
               Path(absl::StrCat(name, ".key")), "-out", Path(absl::StrCat(name, ".pem"))});
      ASSERT_EQ(made.exit_code, 0) << made.err;
    }
    const ProgramResult joined =
        Run({"sh", "-c",
             absl::StrCat("cat '", Path("broker.key"), "' '", Path("broker.pem"), "' > '",
                          Path("store.pem"), "'")});
    ASSERT_EQ(joined.exit_code, 0);
  }
  void WriteBrokerSettings() const {
    const int port = PortOf(plain_);
    const std::string listeners =
        absl::StrCat("PLAINTEXT://127.0.0.1:", port, ",SECURE://", secure_);
    Write("broker_settings",
          absl::StrCat(
              "listeners=", listeners, ",CONTROLLER://127.0.0.1:", port + 1,
              "\nadvertised.listeners=", listeners,
              "\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:"
              "SASL_SSL\nlistener.name.secure.sasl.enabled.mechanisms=PLAIN\n"
              "listener.name.secure.plain.sasl.jaas.config="
              "org.apache.kafka.common.security.plain.PlainLoginModule required user_buurtlog=\"",
              kPassword, "\";\nlistener.name.secure.ssl.keystore.type=PEM\n",
              "listener.name.secure.ssl.keystore.location=", Path("store.pem"), "\n"));
  }

  const std::string plain_ = FreeAddress();
};

TEST_F(SecureBrokerTest, ALogIsCopiedServedAndVerifiedThroughTlsAndAPassword) {
  ASSERT_EQ(Run({Program("buurtlog"), "--data", Path("data"), "region", "--teams", "1", "--years",
                 "0.02"})
                .exit_code,
            0);
  WriteProperties(kPassword, "broker.pem");
  const ProgramResult copied = Copy();
  ASSERT_EQ(copied.exit_code, 0) << copied.err;
  RunningSystem system(
      Path("data"), {"--log", "kafka:" + secure_, "--region", "secure", "--kafka_replication", "1",
                     "--kafka_properties", Path("client")});
  const ProgramResult played = system.Command({"play", "morning"});
  EXPECT_EQ(played.exit_code, 0) << played.err;
}

TEST_F(SecureBrokerTest, AWrongPasswordAndAStrangersCertificateAreToldWithoutTheSecret) {
  ASSERT_EQ(Run({Program("buurtlog"), "--data", Path("data"), "region", "--teams", "1", "--years",
                 "0.02"})
                .exit_code,
            0);
  const std::string wrong = "not-the-password";
  WriteProperties(wrong, "broker.pem");
  const ProgramResult refused = Copy();
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("uthentication"));
  EXPECT_THAT(refused.out + refused.err, Not(HasSubstr(wrong)));

  WriteProperties(kPassword, "stranger.pem");
  const ProgramResult strange = Copy();
  EXPECT_NE(strange.exit_code, 0);
  EXPECT_THAT(strange.err, HasSubstr("SSL"));
  EXPECT_THAT(strange.out + strange.err, Not(HasSubstr(kPassword)));
}

}  // namespace
}  // namespace buurtlog::end_to_end
