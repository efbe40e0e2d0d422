import { expect, test } from "bun:test";
import { decodeServerState, encodeServerState } from "../../../src/run/among/server-state.ts";

const STATE = {
  round: 7,
  global: new Map([
    ["b", Float32Array.of(1.5, -0, 1e-42)],
    ["a", Float32Array.of(Number.NaN, Number.NEGATIVE_INFINITY)],
  ]),
  kept: {
    tensors: new Map([["v", Float32Array.of(3)]]),
    numbers: { best: Number.POSITIVE_INFINITY, turn: -0, x: 0.1 },
  },
  told: { tensors: new Map([["none", new Float32Array()]]), numbers: { rate: 1 / 3 } },
};

test("a server's state comes back with every bit, in the same order", () => {
  const parts = encodeServerState(STATE, { best: [1, "two"] });
  const { state, besides } = decodeServerState(parts, "it");
  const { global, ...rest } = STATE;
  expect(state).toMatchObject(rest);
  for (const [name, values] of global) expect([...state.global.get(name)!]).toEqual([...values]);
  expect([...state.global.keys()]).toEqual(["b", "a"]);
  expect([Object.is(state.global.get("b")![1], -0), Object.is(state.kept.numbers.turn, -0)]).toEqual([true, true]);
  expect(besides).toEqual({ best: [1, "two"] });
  expect(encodeServerState(state, besides)).toEqual(parts);
});

test("other parts are refused", () => {
  const parts = encodeServerState(STATE, {});
  const damaged = "it is none of a server";
  for (const other of [[], parts.slice(0, -1), [...parts, new Uint8Array(4)], [parts[0]!, new Uint8Array(8)]])
    expect(() => decodeServerState(other, "it")).toThrow(damaged);
  expect(() => decodeServerState([new TextEncoder().encode("{}"), ...parts.slice(1)], "it")).toThrow(damaged);
  expect(() => decodeServerState([parts[0]!, new Uint8Array(7), ...parts.slice(2)], "it")).toThrow(damaged);
});
