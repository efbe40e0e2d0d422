/** Bytes of messages: what comes back, how many there are, and what is refused. */
import { expect, test } from "bun:test";
import { asWritten, decodeMessage, encodeMessage, type Message } from "../../../src/run/among/message.ts";
import { normals } from "../../support/random.ts";

const values = normals(3, 601, 0.02);
const MESSAGE: Message = {
  ...{ kind: "update", run: "r", from: "ä", round: 7, numbers: { loss: 1 / 3, steps: 5 } },
  tensors: new Map([
    ["w", values],
    ["b", Float32Array.of(-0, 1e-30, 3)],
    ["none", new Float32Array(0)],
  ]),
};
const key = new TextEncoder().encode("secret");

test("a message comes back as it was, in f32 to the bit, and always has the same bytes", () => {
  const bytes = encodeMessage(MESSAGE);
  expect(decodeMessage(bytes, "it")).toEqual(MESSAGE);
  expect(encodeMessage(MESSAGE)).toEqual(bytes);
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  expect(decodeMessage(shifted.subarray(3), "it")).toEqual(MESSAGE);
});

test("bf16 keeps eight bits of every value, int8 a 254th of the largest of 256", () => {
  const coarse = asWritten(values, "bf16");
  for (const [i, value] of values.entries())
    expect(Math.abs(coarse[i]! - value)).toBeLessThanOrEqual(Math.abs(value) / 256);
  const small = asWritten(values, "int8");
  for (const [i, value] of values.entries()) {
    const block = values.subarray(256 * Math.floor(i / 256), 256 * Math.floor(i / 256) + 256);
    const largest = Math.max(...block.map(Math.abs));
    expect(Math.abs(small[i]! - value)).toBeLessThanOrEqual((0.5001 * largest) / 127);
  }
  expect(asWritten(small, "int8")).toEqual(small);
  expect(asWritten(new Float32Array(5), "int8")).toEqual(new Float32Array(5));
  expect(decodeMessage(encodeMessage(MESSAGE, { dtype: "int8" }), "it").tensors.get("w")).toEqual(small);
});

test("int8 takes a byte for each value, and four for every 256", () => {
  const one = (count: number, dtype: "f32" | "int8" | "bf16") =>
    encodeMessage({ ...MESSAGE, tensors: new Map([["w", new Float32Array(count)]]) }, { dtype }).length;
  expect(one(2560, "int8") - one(1024, "int8")).toBe(1536 + 4 * 6);
  expect(one(2560, "bf16") - one(1024, "bf16")).toBe(2 * 1536);
  expect(one(2560, "f32") - one(1024, "f32")).toBe(4 * 1536);
});

test("every changed byte is found, and so is another key", () => {
  const bytes = encodeMessage(MESSAGE, { key });
  expect(decodeMessage(bytes, "it", key)).toEqual(MESSAGE);
  for (const at of [0, 5, 20, 400, bytes.length - 1]) {
    const changed = Uint8Array.from(bytes);
    changed[at]! ^= 1;
    expect(() => decodeMessage(changed, "what a sent", key)).toThrow(/^what a sent is n/);
  }
  expect(() => decodeMessage(bytes, "it", new TextEncoder().encode("other"))).toThrow(
    "it is not signed with the run's key",
  );
  expect(() => decodeMessage(encodeMessage(MESSAGE), "it", key)).toThrow("it is not signed with the run's key");
  expect(() => decodeMessage(bytes, "it")).toThrow("it does not match its checksum");
  expect(() => decodeMessage(bytes.subarray(0, 20), "it")).toThrow("it is no message");
});

test("what is not finite is named before it is sent", () => {
  const odd = { ...MESSAGE, tensors: new Map([["w", Float32Array.of(1, Number.NaN)]]) };
  expect(() => encodeMessage(odd)).toThrow("ä: w is not finite after its steps");
  expect(() => encodeMessage({ ...MESSAGE, numbers: { loss: Number.NaN } })).toThrow("ä: loss is NaN");
});
