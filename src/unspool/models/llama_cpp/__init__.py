"""llama.cpp as an engine: every GGUF file that it reads, by the C interface of the package llama-cpp-python."""
