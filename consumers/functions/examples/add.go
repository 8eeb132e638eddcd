// Adds two numbers: {"a": 1, "b": 2} gives {"result": 3}.
//
//	GOOS=wasip1 GOARCH=wasm go build -o add.wasm add.go
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var input map[string]any
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil {
		fail("the input is not an object: %v", err)
	}
	sum := number(input, "a") + number(input, "b")
	if err := json.NewEncoder(os.Stdout).Encode(map[string]float64{"result": sum}); err != nil {
		fail("%v", err)
	}
}

func number(input map[string]any, name string) float64 {
	value, found := input[name]
	if !found {
		fail("%s is missing", name)
	}
	number, ok := value.(float64)
	if !ok {
		fail("%s must be a number, not %v", name, value)
	}
	return number
}

// What is on the standard error is the error's message.
func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
