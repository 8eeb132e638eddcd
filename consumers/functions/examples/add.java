// Adds two numbers: {"a": 1, "b": 2} gives {"result": 3}.
//
//	mvn -q -f add.pom.xml

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.teavm.interop.Address;
import org.teavm.interop.Import;

class Function {
    static JsonValue handle(JsonObject input, JsonObject context) {
        return Json.object().add("result", number(input, "a") + number(input, "b"));
    }

    static double number(JsonObject input, String name) {
        var value = input.get(name);
        if (value == null) throw new IllegalArgumentException(name + " is missing");
        if (!value.isNumber()) throw new IllegalArgumentException(name + " must be a number, not " + value);
        return value.asDouble();
    }

    public static void main(String[] args) {
        try {
            var input = Json.parse(Host.input()).asObject();
            var context = Json.parse(Host.context()).asObject();
            System.out.println(handle(input, context));
        } catch (Throwable thrown) {
            // What is on the standard error is the error's message.
            System.err.println(thrown.getMessage() != null ? thrown.getMessage() : thrown);
            Host.exit(1);
        }
    }
}

// What TeaVM leaves out of System: in, getenv and exit. These are WASI's own.
class Host {
    private static final String CONTEXT = "\0FACTFOLD_CONTEXT=";

    static String input() {
        var bytes = new byte[4096];
        var length = 0;
        var read = new int[1];
        var buffer = new int[2];
        do {
            length += read[0];
            if (length == bytes.length) bytes = Arrays.copyOf(bytes, 2 * length);
            buffer[0] = Address.ofData(bytes).add(length).toInt();
            buffer[1] = bytes.length - length;
            var error = fdRead(0, Address.ofData(buffer), 1, Address.ofData(read));
            if (error != 0) throw new IllegalStateException("the input cannot be read: " + error);
        } while (read[0] > 0);
        return new String(bytes, 0, length, StandardCharsets.UTF_8);
    }

    static String context() {
        var count = new int[1];
        var size = new int[1];
        environSizesGet(Address.ofData(count), Address.ofData(size));
        var starts = new int[count[0]];
        var bytes = new byte[size[0]];
        environGet(Address.ofData(starts), Address.ofData(bytes));
        // Each is NAME=VALUE, and ends with a zero.
        var variables = "\0" + new String(bytes, StandardCharsets.UTF_8);
        var at = variables.indexOf(CONTEXT);
        if (at < 0) return "{}";
        at += CONTEXT.length();
        return variables.substring(at, variables.indexOf('\0', at));
    }

    @Import(module = "wasi_snapshot_preview1", name = "fd_read")
    private static native int fdRead(int file, Address buffers, int count, Address read);

    @Import(module = "wasi_snapshot_preview1", name = "environ_sizes_get")
    private static native int environSizesGet(Address count, Address size);

    @Import(module = "wasi_snapshot_preview1", name = "environ_get")
    private static native int environGet(Address starts, Address bytes);

    @Import(module = "wasi_snapshot_preview1", name = "proc_exit")
    static native void exit(int code);
}
