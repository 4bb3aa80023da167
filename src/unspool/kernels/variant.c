/* All kernels, compiled for one set of registers. The build gives VARIANT its name. */
#include "vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"
#include "linear_whole.h"
#include "linear_coded.h"
#include "linear_float.h"
#include "linear_int.h"
#include "multiply.h"
#include "norm.h"
#include "attention.h"
#include "forward.h"
#include "rows.h"
#include "top.h"

const kernels NAME(kernels) = {TEXT(VARIANT), NAME(forward), NAME(linear), NAME(log_sum_exp), NAME(top)};
