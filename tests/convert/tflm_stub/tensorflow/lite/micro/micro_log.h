#ifndef TFLM_STUB_MICRO_LOG_H_
#define TFLM_STUB_MICRO_LOG_H_

#include <cstdio>

#define MicroPrintf(...) (std::printf(__VA_ARGS__), std::printf("\n"))

#endif  // TFLM_STUB_MICRO_LOG_H_
