/** Pickles that would run code, build objects or eat memory elsewhere: each is refused by name, and nothing runs. */
import { describe, expect, test } from "bun:test";
import { Refused } from "../../../src/checkpoint/pickle/globals.ts";
import { unpickle } from "../../../src/checkpoint/pickle/unpickle.ts";
import { HANG_MS } from "../../support/hang.ts";
import { global, int, ops, pickled, str, tensor, tuple } from "./fixture.ts";

function refusalOf(bytes: Uint8Array): string {
  try {
    unpickle(bytes);
  } catch (error) {
    if (error instanceof Refused) return error.message.replace(/ \(byte \d+ of the pickle\)$/, "");
    throw error;
  }
  throw new Error("it was read");
}

const command = tuple(str("touch /tmp/executed"));
const put = (key: number) => ops("q", key);
const recall = (key: number) => ops("h", key);
const GLOBALS = [
  ["os", "system"],
  ["posix", "system"],
  ["nt", "system"],
  ["builtins", "eval"],
  ["builtins", "exec"],
  ["builtins", "getattr"],
  ["__builtin__", "apply"],
  ["subprocess", "Popen"],
  ["runpy", "_run_code"],
  ["importlib", "import_module"],
  ["webbrowser", "open"],
  ["torch", "load"],
  ["torch.hub", "load"],
  ["torch.utils._config_module", "load_config"],
  ["torch._utils", "_rebuild_tensor_v2.__globals__"],
  ["torch._utils", "__import__"],
  ["collections", "OrderedDict.__class__"],
  ["numpy.core.multiarray", "scalar"],
  ["_codecs", "encode"],
  ["argparse", "Namespace"],
  ["", "constructor"],
  ["__proto__", "x"],
] as const;

describe("globals", () => {
  test.each(GLOBALS)("%s %s", (module, name) => {
    const message = `names ${module}.${name}, which no tensor file needs`;
    expect(refusalOf(pickled(global(module, name), command, "R"))).toBe(message);
    expect(refusalOf(pickled(str(module), str(name), [0x93], command, "R"))).toBe(message);
    // By way of the memo, and with a listed name of the same form before.
    const kept = [str(module), put(1), "0", str(name), put(2), "0", recall(1), recall(2), [0x93]] as const;
    expect(refusalOf(pickled(global("torch", "float32"), ...kept))).toBe(message);
  });
});

const dangerous: [string, Uint8Array, string][] = [
  [
    "REDUCE of a dtype",
    pickled(global("torch", "float32"), command, "R"),
    "calls torch.float32, which is not a function of the list",
  ],
  ["REDUCE of a text", pickled(str("os.system"), command, "R"), "calls a value, which is not a function of the list"],
  [
    "REDUCE without a tuple",
    pickled(global("collections", "OrderedDict"), str("x"), "R"),
    "calls collections.OrderedDict without a tuple of arguments",
  ],
  ["BUILD of a tensor", pickled(tensor({ key: "0", elements: 1, shape: [1] }), "}b"), "sets the state of an object"],
  ["BUILD of a global", pickled(global("torch", "float32"), "}b"), "sets the state of an object"],
  ["INST", pickled("(", str("touch x"), "ios\nsystem\n"), "has the opcode INST, which no tensor file needs"],
  ["OBJ", pickled("(", global("collections", "OrderedDict"), "o"), "has the opcode OBJ, which no tensor file needs"],
  [
    "NEWOBJ",
    pickled(global("collections", "OrderedDict"), ")", [0x81]),
    "has the opcode NEWOBJ, which no tensor file needs",
  ],
  [
    "NEWOBJ_EX",
    pickled(global("collections", "OrderedDict"), ")}", [0x92]),
    "has the opcode NEWOBJ_EX, which no tensor file needs",
  ],
  ["EXT1", pickled([0x82, 1]), "has the opcode EXT1, which no tensor file needs"],
  ["EXT2", pickled([0x83, 1, 0]), "has the opcode EXT2, which no tensor file needs"],
  ["EXT4", pickled([0x84, 1, 0, 0, 0]), "has the opcode EXT4, which no tensor file needs"],
  ["PERSID", pickled("Pos.system\n"), "has the opcode PERSID, which no tensor file needs"],
  ["NEXT_BUFFER", pickled([0x97]), "has the opcode NEXT_BUFFER, which no tensor file needs"],
  ["a text opcode", pickled("I1\n"), "has the opcode INT, which no tensor file needs"],
  ["an opcode that is none", pickled([0xff]), "has the opcode 0xff, which no tensor file needs"],
  ["a persistent id of text", pickled(str("x"), "Q"), "has a persistent id that is not that of a storage"],
  [
    "a persistent id of a module",
    pickled(tuple(str("module"), global("torch", "FloatStorage"), str("0"), str("cpu"), int(1)), "Q"),
    "has a persistent id that is not that of a storage",
  ],
  [
    "a storage of a function",
    pickled(tuple(str("storage"), global("collections", "OrderedDict"), str("0"), str("cpu"), int(1)), "Q"),
    "has a persistent id that is not that of a storage",
  ],
  [
    "a storage with a path as its key",
    pickled(tuple(str("storage"), global("torch", "FloatStorage"), str("../../etc/passwd"), str("cpu"), int(1)), "Q"),
    "has a storage without a plain key and a count of elements",
  ],
  [
    "a tensor of a text",
    pickled(global("torch._utils", "_rebuild_tensor_v2"), tuple(str("x"), int(0), ops(")"), ops(")")), "R"),
    "calls _rebuild_tensor with arguments that no tensor file has",
  ],
  ["a negative shape", pickled(tensorOf([-1])), "calls _rebuild_tensor with arguments that no tensor file has"],
  ["a long number", pickled([0x8a, 200], new Uint8Array(200)), "has a number of 200 bytes"],
  ["a text of 4 GB", pickled("X", [255, 255, 255, 255]), "ends in the middle"],
  ["bytes of 2^63", pickled([0x8e, 0, 0, 0, 0, 0, 0, 0, 128]), "ends in the middle"],
  ["an empty stack", pickled("0"), "takes a value from an empty stack"],
  ["a value below a mark", pickled("}(K\x01s"), "takes a value from an empty stack"],
  ["a mark that is not there", pickled("t"), "closes a mark that was not set"],
  ["a memo that is not there", pickled("h\x07"), "recalls 7, which was not kept"],
  ["items of a number", pickled("K\x01K\x01K\x01s"), "sets items of what is not a dict"],
  ["values left behind", pickled("NN"), "leaves values behind"],
  ["no end", ops(0x80, 2, "}"), "ends in the middle"],
  ["protocol 0", ops(0x80, 0, "}."), "has protocol 0, expected 2 to 5"],
  ["nothing", new Uint8Array(), "ends in the middle"],
];

/** A tensor call whose shape has a number of 32 bits with sign. */
function tensorOf(shape: number[]): Uint8Array {
  const sides = tuple(...shape.map((side) => ops("J", [...new Uint8Array(Int32Array.of(side).buffer)])));
  const id = tuple(str("storage"), global("torch", "FloatStorage"), str("0"), str("cpu"), int(1));
  return ops(global("torch._utils", "_rebuild_tensor_v2"), tuple(ops(id, "Q"), int(0), sides, sides), "R");
}

describe("opcodes, calls and counts", () => {
  test.each(dangerous)("%s", (_, bytes, message) => expect(refusalOf(bytes)).toBe(message));
});

describe("bombs", () => {
  test("a value nested nine hundred thousand deep, and one that holds itself, take linear time", () => {
    const started = performance.now();
    const deep = new Uint8Array(900_000).fill("]".charCodeAt(0));
    const nested = pickled(deep, new Uint8Array(899_999).fill("a".charCodeAt(0)));
    unpickle(nested);
    unpickle(pickled("}q\x00X\x01\x00\x00\x00ah\x00s"));
    expect(performance.now() - started).toBeLessThan(HANG_MS);
  });

  test("ten million empty lists are refused before they are made", () => {
    for (const code of ["]", "}"]) {
      expect(refusalOf(pickled(new Uint8Array(10_000_000).fill(code.charCodeAt(0))))).toBe(
        "has more than 1000000 values",
      );
    }
  }, 120_000);

  test("doubling by the memo stays small: 2^200 values are two hundred lists", () => {
    const started = performance.now();
    const levels = Array.from({ length: 200 }, (_, i) => ops("](", recall(i), recall(i), "e", put(i + 1), "0"));
    unpickle(pickled("]", put(0), "0", ...levels, recall(200)));
    expect(performance.now() - started).toBeLessThan(HANG_MS);
  });
});

test("each place is told", () => {
  expect(() => unpickle(pickled("N0", global("os", "system")))).toThrow(
    "names os.system, which no tensor file needs (byte 4 of the pickle)",
  );
});
