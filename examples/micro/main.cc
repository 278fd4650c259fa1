// Reads one picture of a digit and says which it is, with TFLite-Micro.
//
//   edgepack train digits -o digits.keras
//   edgepack convert digits.keras -o digits.h --to c-array --calibration digits.calibration.npz
//
// Compile digits.cc and this file with the TFLite-Micro library of your board, as README.md beside it says.

#include <cmath>
#include <cstdint>

#include "digits.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

constexpr int kPixels = digits_input_image_shape[1] * digits_input_image_shape[2];
constexpr int kClasses = digits_output_digit_shape[1];

alignas(16) std::uint8_t arena[digits_arena_bytes];

// One pixel as the model stores it: 0 to 255 becomes 0 to 1 (the pack's step "scale"), and that becomes int8.
std::int8_t Stored(std::uint8_t pixel) {
  const float real = static_cast<float>(pixel) / 255.0f;
  const float stored = std::round(real / digits_input_image_scale) + static_cast<float>(digits_input_image_zero_point);
  return static_cast<std::int8_t>(std::fmin(std::fmax(stored, -128.0f), 127.0f));
}

// The class with the largest score, or -1 where the model does not run.
int Classify(tflite::MicroInterpreter& interpreter, const std::uint8_t* picture) {
  std::int8_t* input = interpreter.input(digits_input_image_index)->data.int8;
  for (int pixel = 0; pixel < kPixels; ++pixel) input[pixel] = Stored(picture[pixel]);
  if (interpreter.Invoke() != kTfLiteOk) return -1;
  const std::int8_t* scores = interpreter.output(digits_output_digit_index)->data.int8;
  int best = 0;
  for (int one = 1; one < kClasses; ++one) {
    if (scores[one] > scores[best]) best = one;
  }
  return best;
}

}  // namespace

int main() {
  tflite::MicroMutableOpResolver<digits_operator_count> resolver;
  if (digits_add_operators(resolver) != kTfLiteOk) return 1;

  tflite::MicroInterpreter interpreter(tflite::GetModel(digits_model), resolver, arena, digits_arena_bytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) return 2;
  MicroPrintf("the arena holds %u of %u bytes", static_cast<unsigned>(interpreter.arena_used_bytes()),
              static_cast<unsigned>(digits_arena_bytes));

  static std::uint8_t picture[kPixels] = {};  // fill it from the camera: grayscale, white on black
  const int digit = Classify(interpreter, picture);
  if (digit < 0) return 3;
  MicroPrintf("digit %s", digits_output_digit_labels[digit]);
  return 0;
}
