"""One point in, arrays out: arguments of kernels, explicit problems, images, replicates."""
