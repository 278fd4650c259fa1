#ifndef TFLM_STUB_MICRO_INTERPRETER_H_
#define TFLM_STUB_MICRO_INTERPRETER_H_

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

struct TfLiteTensor {
  union {
    std::int8_t* int8;
    float* f;
  } data;
};

namespace tflite {

class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, std::uint8_t* arena, std::size_t size) : size_(size) {
    tensor_.data.int8 = reinterpret_cast<std::int8_t*>(arena);
  }
  TfLiteStatus AllocateTensors() { return kTfLiteOk; }
  TfLiteStatus Invoke() { return kTfLiteOk; }
  TfLiteTensor* input(std::size_t) { return &tensor_; }
  TfLiteTensor* output(std::size_t) { return &tensor_; }
  std::size_t arena_used_bytes() const { return size_; }

 private:
  std::size_t size_;
  TfLiteTensor tensor_;
};

}  // namespace tflite

#endif  // TFLM_STUB_MICRO_INTERPRETER_H_
