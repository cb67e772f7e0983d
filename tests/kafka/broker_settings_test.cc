// Brokers that are set up otherwise than tools/kafka/broker does it: they want TLS and a password,
// as the file of `--kafka_properties` has them, or do not allow what replicas need.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/testing/patience.h"
#include "tests/end_to_end/running_system.h"

namespace buurtlog::end_to_end {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kPassword[] = "a-password-that-nobody-logs";

// A broker in a folder of its own, with more settings.
class BrokerSettingsTest : public ::testing::Test {
 protected:
  ~BrokerSettingsTest() override { Broker({"kill"}); }

  void StartBroker(const std::string& settings) const {
    Write("broker_settings", settings);
    const ProgramResult started =
        Broker({"start", "--port", absl::StrCat(port_), "--with-pid", absl::StrCat(getpid()),
                "--settings", Path("broker_settings")});
    EXPECT_EQ(started.exit_code, 0) << started.err;
  }
  void MakeRegion() const {
    const ProgramResult made = Run(
        {Program("buurtlog"), "--data", Path("data"), "region", "--teams", "1", "--years", "0.02"});
    EXPECT_EQ(made.exit_code, 0) << made.err;
  }

  std::string Path(const std::string& name) const {
    return absl::StrCat(folder_.path(), "/", name);
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
  }
  static ProgramResult Run(const std::vector<std::string>& words) {
    const auto result = RunProgram(words, Patience(absl::Seconds(120)));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(ProgramResult());
  }

  const TemporaryFolder folder_;
  const int port_ = PortOf(FreeAddress());

 private:
  ProgramResult Broker(std::vector<std::string> words) const {
    words.insert(words.begin(), absl::StrCat(BUURTLOG_SOURCE_DIR, "/tools/kafka/broker"));
    words.insert(words.end(), {"--folder", Path("kafka")});
    return Run(words);
  }
};

class SecureBrokerTest : public BrokerSettingsTest {
 protected:
  SecureBrokerTest() {
    MakeCertificates();
    const std::string listeners =
        absl::StrCat("PLAINTEXT://127.0.0.1:", port_, ",SECURE://", secure_);
    StartBroker(absl::StrCat(
        "listeners=", listeners, ",CONTROLLER://127.0.0.1:", port_ + 1,
        "\nadvertised.listeners=", listeners,
        "\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL"
        "\nlistener.name.secure.sasl.enabled.mechanisms=PLAIN"
        "\nlistener.name.secure.plain.sasl.jaas.config="
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_buurtlog=\"",
        kPassword, "\";\nlistener.name.secure.ssl.keystore.type=PEM",
        "\nlistener.name.secure.ssl.keystore.location=", Path("store.pem"), "\n"));
    MakeRegion();
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

  const std::string secure_ = FreeAddress();

 private:
  // Each its own authority, for this machine's address.
  void MakeCertificates() const {
    for (const char* name : {"broker", "stranger"}) {
      const ProgramResult made =
          Run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
               "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
               Path(absl::StrCat(name, ".key")), "-out", Path(absl::StrCat(name, ".pem"))});
      EXPECT_EQ(made.exit_code, 0) << made.err;
    }
    const ProgramResult joined =
        Run({"sh", "-c",
             absl::StrCat("cat '", Path("broker.key"), "' '", Path("broker.pem"), "' > '",
                          Path("store.pem"), "'")});
    EXPECT_EQ(joined.exit_code, 0);
  }
};

TEST_F(SecureBrokerTest, ALogIsCopiedServedAndVerifiedThroughTlsAndAPassword) {
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

TEST_F(BrokerSettingsTest, AClusterThatForbidsTheSessionsOfReplicasIsToldByName) {
  StartBroker("group.min.session.timeout.ms=6000\n");
  MakeRegion();
  const std::string log = absl::StrCat("kafka:127.0.0.1:", port_);
  const ProgramResult copied =
      Run({Program("buurtlog"), "log", "copy", "--from", "sqlite:" + Path("data"), "--to", log,
           "--kafka_replication", "1"});
  ASSERT_EQ(copied.exit_code, 0) << copied.err;
  const ProgramResult served =
      Run({"timeout", "--signal=TERM", absl::StrCat(5 * kPatience), Program("buurtlog"), "--data",
           Path("data"), "--log", log, "--kafka_replication", "1", "--address", "127.0.0.1:0",
           "serve", "--insecure-dev"});
  EXPECT_THAT(served.out + served.err, HasSubstr("group.min.session.timeout.ms"));
}

}  // namespace
}  // namespace buurtlog::end_to_end
