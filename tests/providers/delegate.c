/* A TFLite delegate that takes ADD and MUL of float32 tensors of one shape, and computes them itself.

The structures are those of TensorFlow Lite's common.h as far as they are used; they have been the same from
tflite-runtime 2.14 to ai-edge-litert 2.3. Options: `take` (`ADD`, `MUL`, `none`; all else), `offset` (added to every result, to show who
computed it), `fail` (the words to refuse with), `crash` (it ends the process). */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ADD = 0, MUL = 18, FLOAT32 = 1 };

typedef struct { int size; int data[]; } IntArray;
typedef struct Delegate Delegate;
typedef struct Context Context;

typedef struct {
  int type;
  union { float *f; void *raw; } data;
  IntArray *dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  Delegate *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct { int type; void *params; } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data, *builtin_data;
  const void *custom_initial_data;
  int custom_initial_data_size;
  Delegate *delegate;
  bool might_have_side_effect;
} Node;

typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  uint64_t later_members[8]; /* it is passed by value, and has grown at its end */
} Registration;

struct Context {
  size_t tensors_size;
  int (*get_execution_plan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  int (*resize_tensor)(Context *, Tensor *, IntArray *);
  void (*report_error)(Context *, const char *, ...);
  int (*add_tensors)(Context *, int, int *);
  int (*get_node_and_registration)(Context *, int, Node **, Registration **);
  int (*replace_node_subsets)(Context *, Registration, const IntArray *, Delegate *);
};

struct Delegate {
  void *data;
  int (*prepare)(Context *, Delegate *);
  int (*copy_from)(Context *, Delegate *, int, Tensor *);
  int (*copy_to)(Context *, Delegate *, int, Tensor *);
  void (*free_handle)(Context *, Delegate *, int *);
  int64_t flags;
  void *opaque_builder;
};

typedef struct { Delegate *delegate; IntArray *nodes, *inputs, *outputs; } Params;
typedef struct { int code, left, right, out; } Operation;
typedef struct { int count; float offset; Operation operations[]; } Kernel;
typedef struct { bool add, mul; float offset; } Settings;

static void *kernel_init(Context *context, const char *buffer, size_t length) {
  const Params *params = (const Params *)buffer;
  Kernel *kernel = malloc(sizeof(Kernel) + params->nodes->size * sizeof(Operation));
  kernel->count = params->nodes->size;
  kernel->offset = ((Settings *)params->delegate->data)->offset;
  for (int i = 0; i < kernel->count; i++) {
    Node *node;
    Registration *registration;
    context->get_node_and_registration(context, params->nodes->data[i], &node, &registration);
    kernel->operations[i] = (Operation){registration->builtin_code, node->inputs->data[0], node->inputs->data[1],
                                        node->outputs->data[0]};
  }
  return kernel;
}

static void kernel_free(Context *context, void *kernel) { free(kernel); }

static int kernel_prepare(Context *context, Node *node) { return 0; }

static int kernel_invoke(Context *context, Node *node) {
  const Kernel *kernel = node->user_data;
  for (int i = 0; i < kernel->count; i++) {
    const Operation operation = kernel->operations[i];
    const float *left = context->tensors[operation.left].data.f, *right = context->tensors[operation.right].data.f;
    float *out = context->tensors[operation.out].data.f;
    for (size_t k = 0; k < context->tensors[operation.out].bytes / sizeof(float); k++)
      out[k] = (operation.code == ADD ? left[k] + right[k] : left[k] * right[k]) + kernel->offset;
  }
  return 0;
}

static bool takes(Context *context, const Settings *settings, const Node *node, int code) {
  if (!(code == ADD && settings->add) && !(code == MUL && settings->mul)) return false;
  const Tensor *left = &context->tensors[node->inputs->data[0]], *right = &context->tensors[node->inputs->data[1]];
  return left->type == FLOAT32 && right->type == FLOAT32 && left->bytes == right->bytes;
}

static int delegate_prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  if (context->get_execution_plan(context, &plan)) return 1;
  IntArray *taken = malloc(sizeof(IntArray) + plan->size * sizeof(int));
  taken->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *registration;
    if (context->get_node_and_registration(context, plan->data[i], &node, &registration)) return 1;
    if (takes(context, delegate->data, node, registration->builtin_code)) taken->data[taken->size++] = plan->data[i];
  }
  const Registration kernel = {.init = kernel_init, .free = kernel_free, .prepare = kernel_prepare,
                               .invoke = kernel_invoke, .custom_name = "TestDelegate", .version = 1};
  const int status = context->replace_node_subsets(context, kernel, taken, delegate);
  free(taken);
  return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report_error)(const char *)) {
  Settings *settings = calloc(1, sizeof(Settings));
  settings->add = settings->mul = true;
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(keys[i], "take")) {
      settings->add = !strcmp(values[i], "ADD");
      settings->mul = !strcmp(values[i], "MUL");
    } else if (!strcmp(keys[i], "offset")) {
      settings->offset = (float)atof(values[i]);
    } else if (!strcmp(keys[i], "crash")) {
      abort();
    } else {
      report_error(!strcmp(keys[i], "fail") ? values[i] : "no such option");
      free(settings);
      return NULL;
    }
  }
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->data = settings;
  delegate->prepare = delegate_prepare;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {
  if (delegate) free(delegate->data);
  free(delegate);
}
