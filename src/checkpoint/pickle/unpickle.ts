/**
 * A machine for the opcodes that PyTorch's tensor files use, and for no other.
 *
 * Values are plain data (values.ts). A global is a name of a short list (globals.ts); a call of one is checked and
 * written down, never made. Every opcode that builds objects in another way is refused by name. Work and memory are
 * linear in the bytes of the pickle. Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
 */
import { called, globalOf, Refused, storageOf } from "./globals.ts";
import { PyDict, PyList, PyTuple, type PyValue } from "./values.ts";

/** Names of the opcodes that are refused, for the message. */
const REFUSED: Readonly<Record<number, string>> = {
  70: "FLOAT",
  73: "INT",
  76: "LONG",
  80: "PERSID",
  83: "STRING",
  86: "UNICODE",
  100: "DICT",
  103: "GET",
  105: "INST",
  108: "LIST",
  111: "OBJ",
  112: "PUT",
  129: "NEWOBJ",
  130: "EXT1",
  131: "EXT2",
  132: "EXT4",
  139: "LONG4",
  143: "EMPTY_SET",
  144: "ADDITEMS",
  145: "FROZENSET",
  146: "NEWOBJ_EX",
  150: "BYTEARRAY8",
  151: "NEXT_BUFFER",
  152: "READONLY_BUFFER",
};

/** Values of a pickle; a tensor takes some 25. A million take 100 MB at most. */
const MAX_VALUES = 1_000_000;

type Handler = (machine: Machine) => void;

/** Pushes what a function reads. */
const push =
  (read: (machine: Machine) => PyValue): Handler =>
  (machine) =>
    machine.push(read(machine));

const HANDLERS: Readonly<Record<number, Handler>> = {
  128: (m) => m.protocol(),
  149: (m) => void m.take(8), // FRAME: how much follows, for readers of pipes
  40: (m) => m.mark(),
  48: (m) => void m.pop(),
  49: (m) => void m.popMark(),
  50: (m) => m.push(m.top()),
  78: push(() => null),
  136: push(() => true),
  137: push(() => false),
  75: push((m) => m.view.getUint8(m.take(1))),
  77: push((m) => m.view.getUint16(m.take(2), true)),
  74: push((m) => m.view.getInt32(m.take(4), true)),
  138: push((m) => m.long(m.view.getUint8(m.take(1)))),
  71: push((m) => m.view.getFloat64(m.take(8), false)),
  140: push((m) => m.text(m.view.getUint8(m.take(1)))),
  88: push((m) => m.text(m.view.getUint32(m.take(4), true))),
  141: push((m) => m.text(m.size64())),
  85: push((m) => m.text(m.view.getUint8(m.take(1)))),
  84: push((m) => m.text(m.view.getUint32(m.take(4), true))),
  67: push((m) => m.raw(m.view.getUint8(m.take(1)))),
  66: push((m) => m.raw(m.view.getUint32(m.take(4), true))),
  142: push((m) => m.raw(m.size64())),
  93: push(() => new PyList()),
  125: push(() => new PyDict()),
  41: push(() => new PyTuple([])),
  133: (m) => m.push(new PyTuple(m.popMany(1))),
  134: (m) => m.push(new PyTuple(m.popMany(2))),
  135: (m) => m.push(new PyTuple(m.popMany(3))),
  116: (m) => m.push(new PyTuple(m.popMark())),
  97: (m) => m.append([m.pop()]),
  101: (m) => m.append(m.popMark()),
  115: (m) => m.setItems(m.popMany(2)),
  117: (m) => m.setItems(m.popMark()),
  113: (m) => m.put(m.view.getUint8(m.take(1))),
  114: (m) => m.put(m.view.getUint32(m.take(4), true)),
  148: (m) => m.put(undefined),
  104: push((m) => m.get(m.view.getUint8(m.take(1)))),
  106: push((m) => m.get(m.view.getUint32(m.take(4), true))),
  99: push((m) => globalOf(m.line(), m.line())),
  147: (m) => m.stackGlobal(),
  82: (m) => {
    const args = m.pop();
    m.push(called(m.pop(), args));
  },
  98: (m) => m.build(),
  81: (m) => m.push(storageOf(m.pop())),
};

const STOP = 0x2e;

/**
 * Reads one pickle. Throws Refused, saying what was found and at which byte, when it holds anything but the data of
 * tensors.
 */
export function unpickle(bytes: Uint8Array): PyValue {
  const machine = new Machine(bytes);
  for (;;) {
    const at = machine.at;
    try {
      const code = machine.view.getUint8(machine.take(1));
      if (code === STOP) return machine.result();
      const handler = HANDLERS[code];
      if (handler === undefined) {
        throw new Refused(`has the opcode ${REFUSED[code] ?? `0x${code.toString(16)}`}, which no tensor file needs`);
      }
      handler(machine);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      throw new Refused(`${error.message} (byte ${at} of the pickle)`);
    }
  }
}

class Machine {
  at = 0;
  #values = 0;
  readonly view: DataView;
  readonly #bytes: Uint8Array;
  readonly #stack: PyValue[] = [];
  /** Heights of the stack at the marks. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PyValue>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The position of the next `count` bytes, which are then passed. */
  take(count: number): number {
    const at = this.at;
    if (at + count > this.#bytes.length) throw new Refused("ends in the middle");
    this.at = at + count;
    return at;
  }

  size64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  protocol(): void {
    const version = this.view.getUint8(this.take(1));
    if (version < 2 || version > 5) throw new Refused(`has protocol ${version}, expected 2 to 5`);
  }

  text(length: number): string {
    const at = this.take(length);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + length));
  }

  raw(length: number): Uint8Array {
    const at = this.take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A line of a GLOBAL, without its end. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end === -1 || end - this.at > 200) throw new Refused("names a global without an end");
    const text = this.text(end - this.at);
    this.at = end + 1;
    return text;
  }

  /** A little-endian number in two's complement. */
  long(length: number): number | bigint {
    if (length > 8) throw new Refused(`has a number of ${length} bytes`);
    const at = this.take(length);
    let value = 0n;
    for (let i = 0; i < length; i++) value |= BigInt(this.#bytes[at + i]!) << BigInt(8 * i);
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  push(value: PyValue): void {
    if (++this.#values > MAX_VALUES) throw new Refused(`has more than ${MAX_VALUES} values`);
    this.#stack.push(value);
  }

  #floor(): number {
    return this.#marks.at(-1) ?? 0;
  }

  pop(): PyValue {
    if (this.#stack.length <= this.#floor()) throw new Refused("takes a value from an empty stack");
    return this.#stack.pop() as PyValue;
  }

  top(): PyValue {
    if (this.#stack.length <= this.#floor()) throw new Refused("takes a value from an empty stack");
    return this.#stack.at(-1) as PyValue;
  }

  popMany(count: number): PyValue[] {
    if (this.#stack.length - count < this.#floor()) throw new Refused("takes a value from an empty stack");
    return this.#stack.splice(this.#stack.length - count, count);
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  popMark(): PyValue[] {
    const height = this.#marks.pop();
    if (height === undefined) throw new Refused("closes a mark that was not set");
    return this.#stack.splice(height);
  }

  append(items: readonly PyValue[]): void {
    const list = this.top();
    if (!(list instanceof PyList)) throw new Refused("appends to what is not a list");
    for (const item of items) list.items.push(item);
  }

  setItems(items: readonly PyValue[]): void {
    const dict = this.top();
    if (!(dict instanceof PyDict) || items.length % 2 !== 0) throw new Refused("sets items of what is not a dict");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  }

  put(key: number | undefined): void {
    this.#memo.set(key ?? this.#memo.size, this.top());
  }

  get(key: number): PyValue {
    const value = this.#memo.get(key);
    if (value === undefined) throw new Refused(`recalls ${key}, which was not kept`);
    return value;
  }

  stackGlobal(): void {
    const [module, name] = this.popMany(2);
    if (typeof module !== "string" || typeof name !== "string") throw new Refused("names a global by other than texts");
    this.push(globalOf(module, name));
  }

  /** Attributes of an OrderedDict (`_metadata` of a module's state), which say nothing about weights. */
  build(): void {
    const state = this.pop();
    if (!(this.top() instanceof PyDict) || !(state instanceof PyDict)) throw new Refused("sets the state of an object");
  }

  result(): PyValue {
    const value = this.pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) throw new Refused("leaves values behind");
    return value;
  }
}
