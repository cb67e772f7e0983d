#include "libs/sqlite/sqlite.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "libs/base/ids.h"

namespace buurtlog::sqlite {
namespace {

class SqliteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "sqlite-",
                           IdGenerator(SystemClock(), SystemRandom()).New().ToString());
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/test.db";
    OpenOptions options;
    options.busy_timeout_ms = 0;
    connection_.emplace(Connection::Open(path_, options).value());
    ASSERT_TRUE(
        connection_->Execute("PRAGMA journal_mode=WAL; CREATE TABLE t (k INTEGER PRIMARY KEY, v)")
            .ok());
  }
  void TearDown() override {
    connection_.reset();
    std::filesystem::remove_all(folder_);
  }

  absl::Status Insert(int64_t key) {
    return connection_->Cached("INSERT INTO t VALUES (?, NULL)").Bind(1, key).Run();
  }
  int64_t Count(Connection& connection) {
    Statement& count = connection.Cached("SELECT count(*) FROM t");
    EXPECT_TRUE(count.Step().value());
    const int64_t rows = count.Int(0);
    count.Reset();
    return rows;
  }

  std::string folder_;
  std::string path_;
  std::optional<Connection> connection_;
};

TEST_F(SqliteTest, ValuesOfEveryTypeComeBack) {
  Statement select = connection_->Prepare("SELECT ?, ?, ?, ?, ?, ?").value();
  const std::string blob("a\0b", 3);
  select.Bind(1, int64_t{-5}).Bind(2, 0.5).Bind(3, std::string_view("text")).BindBlob(4, blob);
  select.BindBlobView(5, blob).BindNull(6);
  ASSERT_TRUE(select.Step().value());
  EXPECT_EQ(select.columns(), 6);
  EXPECT_EQ(select.Int(0), -5);
  EXPECT_EQ(select.Double(1), 0.5);
  EXPECT_EQ(select.Text(2), "text");
  EXPECT_EQ(select.Blob(3), blob);
  EXPECT_EQ(select.Blob(4), blob);
  EXPECT_TRUE(select.IsNull(5));
  EXPECT_FALSE(select.IsNull(4));
  EXPECT_FALSE(select.Step().value());
}

TEST_F(SqliteTest, EmptyValuesAreNotNull) {
  Statement select = connection_->Prepare("SELECT ?, ?, ?").value();
  select.Bind(1, std::string_view()).BindBlob(2, {}).BindBlobView(3, {});
  ASSERT_TRUE(select.Step().value());
  EXPECT_EQ(select.ColumnType(0), SQLITE_TEXT);
  EXPECT_EQ(select.ColumnType(1), SQLITE_BLOB);
  EXPECT_EQ(select.ColumnType(2), SQLITE_BLOB);
  EXPECT_EQ(select.Blob(1), "");
}

TEST_F(SqliteTest, ACachedStatementIsOneAndComesWithoutBindings) {
  Statement& first = connection_->Cached("SELECT ?");
  first.Bind(1, int64_t{3});
  ASSERT_TRUE(first.Step().value());
  for (int i = 0; i < 100; ++i) connection_->Cached(absl::StrCat("SELECT ", i));
  Connection moved = *std::move(connection_);
  Statement& second = moved.Cached("SELECT ?");
  EXPECT_EQ(&first, &second);
  ASSERT_TRUE(second.Step().value());
  EXPECT_TRUE(second.IsNull(0));
}

TEST_F(SqliteTest, ATransactionIsKeptOnlyWhenItIsCommitted) {
  {
    Transaction transaction = Transaction::Begin(*connection_, Transaction::Mode::kWrite).value();
    ASSERT_TRUE(Insert(1).ok());
  }
  EXPECT_EQ(Count(*connection_), 0);
  Transaction transaction = Transaction::Begin(*connection_, Transaction::Mode::kWrite).value();
  ASSERT_TRUE(Insert(1).ok());
  Transaction moved = std::move(transaction);
  ASSERT_TRUE(moved.Commit().ok());
  EXPECT_EQ(Count(*connection_), 1);
}

TEST_F(SqliteTest, AReadTransactionSeesOneMoment) {
  OpenOptions options;
  options.read_only = true;
  Connection reader = Connection::Open(path_, options).value();
  {
    Transaction transaction = Transaction::Begin(reader, Transaction::Mode::kRead).value();
    EXPECT_EQ(Count(reader), 0);
    ASSERT_TRUE(Insert(1).ok());
    EXPECT_EQ(Count(reader), 0);
  }
  EXPECT_EQ(Count(reader), 1);
  EXPECT_FALSE(reader.Execute("INSERT INTO t VALUES (9, 9)").ok());
}

TEST_F(SqliteTest, AQueryLeftInTheMiddleDoesNotHoldTheNextTransactionBack) {
  Connection reader = Connection::Open(path_).value();
  ASSERT_TRUE(Insert(1).ok());
  ASSERT_TRUE(Insert(2).ok());
  {
    Transaction transaction = Transaction::Begin(reader, Transaction::Mode::kRead).value();
    ASSERT_TRUE(*reader.Cached("SELECT k FROM t").Step());
  }
  ASSERT_TRUE(Insert(3).ok());
  Transaction transaction = Transaction::Begin(reader, Transaction::Mode::kRead).value();
  EXPECT_EQ(Count(reader), 3);
}

TEST_F(SqliteTest, TwoWritersAtOnceAreUnavailable) {
  OpenOptions options;
  options.busy_timeout_ms = 0;
  Connection other = Connection::Open(path_, options).value();
  Transaction transaction = Transaction::Begin(*connection_, Transaction::Mode::kWrite).value();
  EXPECT_EQ(Transaction::Begin(other, Transaction::Mode::kWrite).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SqliteTest, ErrorsSayWhatKindTheyAreAndNoBoundValues) {
  Statement& insert = connection_->Cached("INSERT INTO t VALUES (?, ?)");
  ASSERT_TRUE(insert.Bind(1, int64_t{918273}).Bind(2, std::string_view("confidential")).Run().ok());
  const absl::Status twice = insert.Run();
  EXPECT_EQ(twice.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(twice.ToString().find("918273"), std::string::npos);
  EXPECT_EQ(twice.ToString().find("confidential"), std::string::npos);
  EXPECT_EQ(connection_->Prepare("SELECT nothing FROM t").status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(connection_->Prepare(" ").status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Connection::Open(folder_ + "/none/a.db").status().code(), absl::StatusCode::kNotFound);
  OpenOptions options;
  options.create = false;
  EXPECT_EQ(Connection::Open(folder_ + "/none.db", options).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(SqliteTest, AFullDatabaseIsResourceExhaustedAndRollsBack) {
  ASSERT_TRUE(connection_->Execute("PRAGMA max_page_count=4").ok());
  {
    Transaction transaction = Transaction::Begin(*connection_, Transaction::Mode::kWrite).value();
    ASSERT_TRUE(Insert(1).ok());
    Statement& insert = connection_->Cached("INSERT INTO t VALUES (2, zeroblob(100000))");
    EXPECT_EQ(insert.Run().code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(Count(*connection_), 0);
  EXPECT_TRUE(Insert(3).ok());
}

TEST_F(SqliteTest, AFileThatIsNoDatabaseIsDataLoss) {
  const std::string path = folder_ + "/other.db";
  std::ofstream(path) << std::string(5000, 'x');
  Connection connection = Connection::Open(path).value();
  EXPECT_EQ(connection.Execute("SELECT * FROM sqlite_schema").code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteTest, AStatementThatCouldNotBePreparedStaysWhileOthersFailToo) {
  const std::string path = folder_ + "/other.db";
  std::ofstream(path) << std::string(5000, 'x');
  Connection connection = Connection::Open(path).value();
  Statement& first = connection.Cached("SELECT * FROM sqlite_schema");
  Statement& second = connection.Cached("SELECT count(*) FROM sqlite_schema");
  EXPECT_TRUE(absl::IsDataLoss(first.Run()));
  EXPECT_TRUE(absl::IsDataLoss(second.Run()));
  std::filesystem::remove(path);
  connection = Connection::Open(path).value();
  std::ofstream(path) << std::string(5000, 'x');
  Statement& failed = connection.Cached("SELECT * FROM sqlite_schema");
  EXPECT_TRUE(absl::IsDataLoss(failed.Run()));
  // The file comes to be a database again.
  std::filesystem::resize_file(path, 0);
  Statement& again = connection.Cached("SELECT * FROM sqlite_schema");
  EXPECT_EQ(&again, &failed);
  EXPECT_EQ(again.Step().value_or(true), false);
}

}  // namespace
}  // namespace buurtlog::sqlite
