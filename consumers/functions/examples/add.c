// Adds two numbers: {"a": 1, "b": 2} gives {"result": 3}.
//
//	clang --target=wasm32-wasi -O2 -o add.wasm add.c
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char input[65536];

// Finds a number by its name; good enough for a flat object.
static double number(const char *name) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *at = strstr(input, quoted);
    if (!at) {
        fprintf(stderr, "%s is missing\n", name);
        exit(1);
    }
    at += strlen(quoted);
    at += strspn(at, " \t\r\n:");
    char *end;
    double value = strtod(at, &end);
    if (end == at) {
        fprintf(stderr, "%s must be a number\n", name);
        exit(1);
    }
    return value;
}

int main(void) {
    input[fread(input, 1, sizeof input - 1, stdin)] = 0;
    double sum = number("a") + number("b");
    printf("{\"result\":%.17g}\n", sum);
    return 0;
}
