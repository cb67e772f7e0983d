// As buurtlog_precompiled.h, for tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/buurtlog_precompiled.h"
