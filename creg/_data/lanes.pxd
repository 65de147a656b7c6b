from libc.stdint cimport int32_t, int64_t

cdef extern from "lanes.h" nogil:
    void creg_lanes_dot_f64(Py_ssize_t n, const double* x, const double* shift, const double* v,
                            double* out)
    void creg_lanes_dot_f32(Py_ssize_t n, const float* x, const double* shift, const double* v,
                            double* out)
    void creg_lanes_square_f64(Py_ssize_t n, const double* x, const double* shift, const double* v,
                               double* out)
    void creg_lanes_square_f32(Py_ssize_t n, const float* x, const double* shift, const double* v,
                               double* out)
    void creg_lanes_sparse_dot_f64_i32(Py_ssize_t nnz, const double* x,
                                       const int32_t* at,
                                       const double* shift, const double* v,
                                       double* out)
    void creg_lanes_sparse_dot_f64_i64(Py_ssize_t nnz, const double* x,
                                       const int64_t* at,
                                       const double* shift, const double* v,
                                       double* out)
    void creg_lanes_sparse_dot_f32_i32(Py_ssize_t nnz, const float* x,
                                       const int32_t* at,
                                       const double* shift, const double* v,
                                       double* out)
    void creg_lanes_sparse_dot_f32_i64(Py_ssize_t nnz, const float* x,
                                       const int64_t* at,
                                       const double* shift, const double* v,
                                       double* out)
    void creg_lanes_sparse_square_f64_i32(Py_ssize_t nnz, const double* x,
                                          const int32_t* at,
                                          const double* shift, const double* v,
                                          double* out)
    void creg_lanes_sparse_square_f64_i64(Py_ssize_t nnz, const double* x,
                                          const int64_t* at,
                                          const double* shift, const double* v,
                                          double* out)
    void creg_lanes_sparse_square_f32_i32(Py_ssize_t nnz, const float* x,
                                          const int32_t* at,
                                          const double* shift, const double* v,
                                          double* out)
    void creg_lanes_sparse_square_f32_i64(Py_ssize_t nnz, const float* x,
                                          const int64_t* at,
                                          const double* shift, const double* v,
                                          double* out)
    void creg_lanes_sparse_sum_f64_i32(Py_ssize_t nnz, const double* x,
                                       const int32_t* at,
                                       const double* shift, const double* v,
                                       double* out)
    void creg_lanes_sparse_sum_f64_i64(Py_ssize_t nnz, const double* x,
                                       const int64_t* at,
                                       const double* shift, const double* v,
                                       double* out)
    void creg_lanes_sparse_sum_f32_i32(Py_ssize_t nnz, const float* x,
                                       const int32_t* at,
                                       const double* shift, const double* v,
                                       double* out)
    void creg_lanes_sparse_sum_f32_i64(Py_ssize_t nnz, const float* x,
                                       const int64_t* at,
                                       const double* shift, const double* v,
                                       double* out)
