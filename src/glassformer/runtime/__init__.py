"""Array-level operations, worker threads and caches: from kernels to a tensor engine."""
