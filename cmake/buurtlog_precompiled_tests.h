// As buurtlog_precompiled.h, for tests.
#pragma once

#include "cmake/buurtlog_precompiled.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
