from libc.stdint cimport int32_t, int64_t

cdef extern from "leaves.h" nogil:
    double creg_dot_f64(Py_ssize_t n, const double* x, double shift, const double* v)
    double creg_dot_f32(Py_ssize_t n, const float* x, double shift, const double* v)
    void creg_axpy_f64(Py_ssize_t n, double a, const double* x, double shift, const double* s,
                       double* v)
    void creg_axpy_f32(Py_ssize_t n, double a, const float* x, double shift, const double* s,
                       double* v)
    double creg_square_f64(Py_ssize_t n, double a, const double* x, double shift, const double* s)
    double creg_square_f32(Py_ssize_t n, double a, const float* x, double shift, const double* s)
    void creg_axpy4_f64(Py_ssize_t n, const double* a, const double** x, const double* shift,
                        double* v)
    void creg_dot4_f64(Py_ssize_t n, const double** x, const double* shift, const double* v,
                       double* out)
    void creg_rows_dot_f64(Py_ssize_t m, Py_ssize_t p, const double* x, Py_ssize_t stride,
                           const double* shift, const double* v, double* out)
    void creg_rows_axpy_f64(Py_ssize_t m, Py_ssize_t p, const double* x, Py_ssize_t stride,
                            const double* shift, const double* q, double* out)
    void creg_rows_square_f64(Py_ssize_t m, Py_ssize_t p, const double* x, Py_ssize_t stride,
                              const double* shift, const double* a, const double* s, double* out)
    void creg_axpy4_f32(Py_ssize_t n, const double* a, const float** x, const double* shift,
                        double* v)
    void creg_dot4_f32(Py_ssize_t n, const float** x, const double* shift, const double* v,
                       double* out)
    void creg_rows_dot_f32(Py_ssize_t m, Py_ssize_t p, const float* x, Py_ssize_t stride,
                           const double* shift, const double* v, double* out)
    void creg_rows_axpy_f32(Py_ssize_t m, Py_ssize_t p, const float* x, Py_ssize_t stride,
                            const double* shift, const double* q, double* out)
    void creg_rows_square_f32(Py_ssize_t m, Py_ssize_t p, const float* x, Py_ssize_t stride,
                              const double* shift, const double* a, const double* s, double* out)
    void creg_shifted_f64(Py_ssize_t n, const double* x, Py_ssize_t ahead, double shift, double a,
                          const double* root, double* out)
    void creg_shifted_f32(Py_ssize_t n, const float* x, Py_ssize_t ahead, double shift, double a,
                          const double* root, double* out)
    void creg_row_shifted_f64(Py_ssize_t p, const double* x, const double* shift, const double* a,
                              double root, double* out)
    void creg_four_shifted_f64(Py_ssize_t p, const double** x, const double* shift, const double* a,
                               const double* root, double* out, Py_ssize_t pitch)
    void creg_row_shifted_f32(Py_ssize_t p, const float* x, const double* shift, const double* a,
                              double root, double* out)
    void creg_four_shifted_f32(Py_ssize_t p, const float** x, const double* shift, const double* a,
                               const double* root, double* out, Py_ssize_t pitch)
    double creg_sparse_dot_f64_i32(Py_ssize_t nnz, const double* x, const int32_t* at,
                                   double shift, const double* v)
    double creg_sparse_dot_f64_i64(Py_ssize_t nnz, const double* x, const int64_t* at,
                                   double shift, const double* v)
    double creg_sparse_dot_f32_i32(Py_ssize_t nnz, const float* x, const int32_t* at, double shift,
                                   const double* v)
    double creg_sparse_dot_f32_i64(Py_ssize_t nnz, const float* x, const int64_t* at, double shift,
                                   const double* v)
    void creg_sparse_axpy_f64_i32(Py_ssize_t nnz, double a, const double* x, const int32_t* at,
                                  double shift,
                                  const double* s, double* v)
    void creg_sparse_axpy_f64_i64(Py_ssize_t nnz, double a, const double* x, const int64_t* at,
                                  double shift,
                                  const double* s, double* v)
    void creg_sparse_axpy_f32_i32(Py_ssize_t nnz, double a, const float* x, const int32_t* at,
                                  double shift,
                                  const double* s, double* v)
    void creg_sparse_axpy_f32_i64(Py_ssize_t nnz, double a, const float* x, const int64_t* at,
                                  double shift,
                                  const double* s, double* v)
    double creg_sparse_square_f64_i32(Py_ssize_t nnz, double a, const double* x, const int32_t* at,
                                      double shift,
                                      const double* s)
    double creg_sparse_square_f64_i64(Py_ssize_t nnz, double a, const double* x, const int64_t* at,
                                      double shift,
                                      const double* s)
    double creg_sparse_square_f32_i32(Py_ssize_t nnz, double a, const float* x, const int32_t* at,
                                      double shift,
                                      const double* s)
    double creg_sparse_square_f32_i64(Py_ssize_t nnz, double a, const float* x, const int64_t* at,
                                      double shift,
                                      const double* s)
    double creg_inner(Py_ssize_t n, const double* u, const double* v)
    void creg_inner_each(Py_ssize_t n, const double* u, Py_ssize_t count, const double** v,
                         double* out)
    void creg_add(Py_ssize_t n, double a, const double* u, double* v)
    double creg_sum(Py_ssize_t n, const double* u)
    void creg_four_moments(Py_ssize_t p, const double* x, Py_ssize_t stride, const double* root,
                           double* sum, double* square)
    double creg_square_over(Py_ssize_t n, const double* u, const double* s)
    void creg_weigh(Py_ssize_t n, const double* s, double* v)
    void creg_add_square(Py_ssize_t n, double a, const double* q, double* h)
    void creg_left_out(Py_ssize_t n, const double* u, const double* p, const double* h,
                       double least, double* out)
    double creg_spread(Py_ssize_t n, const double* s, double m, const double* u)
    void creg_rotate(Py_ssize_t n, double c, double s, double* u, double* v)
    void creg_rotate_columns(Py_ssize_t n, Py_ssize_t columns, const double* cs, Py_ssize_t step,
                             double* u, double* v, Py_ssize_t ld)
    void creg_add4(Py_ssize_t n, const double* a, const double* u0, const double* u1,
                   const double* u2,
                   const double* u3, double* v)
    Py_ssize_t creg_beyond(Py_ssize_t p, const float* h, const float** c, float e, const float* up,
                           const float* low, Py_ssize_t* out)
