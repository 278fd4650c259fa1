// The few declarations of TFLite-Micro that generated headers need, for a compiler: nothing here runs a model.
// The methods are those of tensorflow/lite/micro/micro_mutable_op_resolver.h (2025).
#ifndef TFLM_STUB_MICRO_MUTABLE_OP_RESOLVER_H_
#define TFLM_STUB_MICRO_MUTABLE_OP_RESOLVER_H_

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

class MicroOpResolver {};

template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
#define ADD(Name) \
  TfLiteStatus Add##Name() { return count_++ < tOpCount ? kTfLiteOk : kTfLiteError; }
  ADD(Abs) ADD(Add) ADD(AddN) ADD(ArgMax) ADD(ArgMin) ADD(AssignVariable) ADD(AveragePool2D) ADD(BatchMatMul)
  ADD(BatchToSpaceNd) ADD(BroadcastArgs) ADD(BroadcastTo) ADD(CallOnce) ADD(Cast) ADD(Ceil) ADD(Concatenation)
  ADD(Conv2D) ADD(Cos) ADD(CumSum) ADD(DepthToSpace) ADD(DepthwiseConv2D) ADD(Dequantize) ADD(Div)
  ADD(DynamicUpdateSlice) ADD(EmbeddingLookup) ADD(Elu) ADD(Equal) ADD(Exp) ADD(ExpandDims) ADD(Fill) ADD(Floor)
  ADD(FloorDiv) ADD(FloorMod) ADD(FullyConnected) ADD(Gather) ADD(GatherNd) ADD(Greater) ADD(GreaterEqual)
  ADD(HardSwish) ADD(If) ADD(L2Normalization) ADD(L2Pool2D) ADD(LeakyRelu) ADD(Less) ADD(LessEqual) ADD(Log)
  ADD(LogicalAnd) ADD(LogicalNot) ADD(LogicalOr) ADD(Logistic) ADD(LogSoftmax) ADD(Maximum) ADD(MaxPool2D)
  ADD(MirrorPad) ADD(Mean) ADD(Minimum) ADD(Mul) ADD(Neg) ADD(NotEqual) ADD(Pack) ADD(Pad) ADD(PadV2) ADD(Prelu)
  ADD(Quantize) ADD(ReadVariable) ADD(ReduceAll) ADD(ReduceMax) ADD(ReduceMin) ADD(Relu) ADD(Relu6) ADD(Reshape)
  ADD(ResizeBilinear) ADD(ResizeNearestNeighbor) ADD(ReverseV2) ADD(Round) ADD(Rsqrt) ADD(SelectV2) ADD(Shape)
  ADD(Sin) ADD(Slice) ADD(Softmax) ADD(SpaceToBatchNd) ADD(SpaceToDepth) ADD(Split) ADD(SplitV) ADD(Squeeze)
  ADD(Sqrt) ADD(Square) ADD(SquaredDifference) ADD(StridedSlice) ADD(Sub) ADD(Sum) ADD(Svdf) ADD(Tanh)
  ADD(TransposeConv) ADD(Transpose) ADD(Unpack) ADD(UnidirectionalSequenceLSTM) ADD(VarHandle) ADD(While)
  ADD(ZerosLike)
#undef ADD

 private:
  unsigned int count_ = 0;
};

}  // namespace tflite

#endif  // TFLM_STUB_MICRO_MUTABLE_OP_RESOLVER_H_
