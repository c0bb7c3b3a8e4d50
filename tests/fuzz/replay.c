/* SPDX-License-Identifier: MIT */
/* Gives each file named to the fuzz target it is linked with: the corpus as a test, without a fuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		uint8_t *data = malloc(1 << 20);
		size_t size;

		if (!file || !data) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
		size = fread(data, 1, 1 << 20, file);
		(void)fclose(file);
		(void)LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
	(void)printf("%d inputs replayed\n", argc - 1);
	return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
