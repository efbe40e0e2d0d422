import { type Pointer, toArrayBuffer } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Arena, struct } from "../../../src/gpu/dawn/arena.ts";
import { copyText, unpack } from "../../../src/gpu/dawn/structs.ts";

const MIXED = struct({
  flag: "u32",
  at: "pointer",
  count: "u32",
  more: "u32",
  size: "u64",
  name: "text",
  value: "f64",
});
const ITEM = struct({ next: "pointer", key: "text", value: "u32" });

describe("a layout", () => {
  test("places fields as C does", () => {
    expect(MIXED.fields.map(({ offset }) => offset)).toEqual([0, 8, 16, 20, 24, 32, 48]);
    expect(MIXED.bytes).toBe(56);
    expect(struct({ a: "u32" }).bytes).toBe(8);
    expect(struct({ a: "u32", b: "u32", c: "u32" }).bytes).toBe(16);
  });
});

describe("an arena", () => {
  test("packs what is given and zeros for the rest, at the right places", () => {
    const arena = new Arena();
    arena.frame(() => arena.pack(MIXED, { flag: 0xffffffff, size: 2 ** 53 - 1, name: "dirt" }));
    arena.frame(() => {
      const at = arena.pack(MIXED, { at: 2 ** 40 + 1, size: 2 ** 33 + 5, value: -0.1, more: 3 });
      const view = new DataView(toArrayBuffer(at, 0, MIXED.bytes));
      expect(view.getUint32(0, true)).toBe(0);
      expect(view.getBigUint64(8, true)).toBe(2n ** 40n + 1n);
      expect([view.getUint32(16, true), view.getUint32(20, true)]).toEqual([0, 3]);
      expect(view.getBigUint64(24, true)).toBe(2n ** 33n + 5n);
      expect([view.getBigUint64(32, true), view.getBigUint64(40, true)]).toEqual([0n, 0n]);
      expect(view.getFloat64(48, true)).toBe(-0.1);
    });
  });

  test("keeps all text and structs of a frame, however many, while frames nest", () => {
    const text = fc.string({ unit: "binary", maxLength: 6000 });
    const lists = fc.array(fc.record({ key: text, value: fc.nat() }), { minLength: 1, maxLength: 12 });
    const unpaired = (value: string) => Buffer.from(value).toString(); // lone surrogates are replaced in UTF-8
    fc.assert(
      fc.property(lists, lists, (outer, inner) => {
        const arena = new Arena();
        const check = (list: typeof outer, at: Pointer | null) => {
          list.forEach(({ key, value }, i) => {
            const read = unpack(ITEM, (Number(at) + i * ITEM.bytes) as Pointer);
            expect(read).toEqual({ next: 0, key: unpaired(key), value });
          });
        };
        arena.frame(() => {
          const first = arena.array(ITEM, outer);
          arena.frame(() => check(inner, arena.array(ITEM, inner)));
          const again = arena.array(ITEM, inner);
          check(outer, first);
          check(inner, again);
        });
      }),
      { numRuns: 8 },
    );
  });

  test("gives a frame's memory to the next one, also when the call throws", () => {
    const arena = new Arena();
    const place = () => arena.frame(() => arena.pack(ITEM, { key: "k" }));
    const first = place();
    expect(() =>
      arena.frame(() => {
        arena.pack(ITEM, {});
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(place()).toBe(first);
  });

  test("packs lists of addresses, words and C strings; an empty one is the null pointer", () => {
    const arena = new Arena();
    const words = arena.words([1, 2 ** 32 - 1, 3])!;
    expect([...new Uint32Array(toArrayBuffer(words, 0, 12))]).toEqual([1, 2 ** 32 - 1, 3]);
    const strings = new BigUint64Array(toArrayBuffer(arena.strings(["one", "three"])!, 0, 16));
    expect([...strings].map((at, i) => copyText(Number(at), [4, 6][i]!))).toEqual(["one\0", "three\0"]);
    expect([arena.words([]), arena.strings([]), arena.pointers([]), arena.array(ITEM, [])]).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });
});
