/** The laws that ways of training among many claim, on answers of three clients, each under its defaults. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import {
  EMPTY,
  FEDERATION_LAWS,
  type Federation,
  type FederationLaw,
  type Tensors,
} from "../../src/run/among/contract.ts";
import { encodeMessage } from "../../src/run/among/message.ts";
import { Server } from "../../src/run/among/server.ts";
import { normals } from "../support/random.ts";

const NAMES = ["a", "b", "c"];
const GLOBAL: Tensors = new Map([
  ["w", normals(1, 37)],
  ["b", normals(2, 5, 0.3)],
]);
const moved = (seed: number): Tensors =>
  new Map([...GLOBAL].map(([name, values]) => [name, values.map((x, i) => x + normals(seed, values.length, 0.1)[i]!)]));
/** What a method needs besides, in a client's first round. */
const FOUND: Readonly<Record<string, Tensors>> = {};

/** A server's weights after clients ended at `locals`; they answer in `order`. */
function after(method: Federation, locals: readonly Tensors[], order = [0, 1, 2]): Tensors {
  const { values } = bindDefaults(method);
  const server = new Server({ method: { method, values }, clients: NAMES, run: "r" }, GLOBAL);
  const answers = locals.map((local, i) => {
    const found = { tensors: FOUND[method.name] ?? new Map(), numbers: {} };
    const round = { round: 0, global: GLOBAL, told: EMPTY, kept: EMPTY, steps: 4, rate: 0.1, rows: 10 + i };
    const { sent } = method.answer({ ...round, values, local, found, dtype: "f32" });
    const numbers = { ...sent.numbers, steps: 4, rows: 10 + i, loss: 1 };
    return encodeMessage({ kind: "update", run: "r", from: NAMES[i]!, round: 0, numbers, tensors: sent.tensors });
  });
  server.take(order.map((i) => answers[i]!));
  return server.state.global;
}

const near = (found: Tensors, expected: Tensors) => {
  for (const [name, values] of expected)
    for (const [i, value] of values.entries()) expect(found.get(name)![i]!).toBeCloseTo(value, 5);
};

const TESTS: Record<FederationLaw, (method: Federation) => void> = {
  still: (method) => near(after(method, [GLOBAL, GLOBAL, GLOBAL]), GLOBAL),
  agree: (method) => near(after(method, [moved(7), moved(7), moved(7)]), moved(7)),
  order(method) {
    const locals = [moved(3), moved(4), moved(5)];
    expect(after(method, locals, [2, 0, 1])).toEqual(after(method, locals));
    expect(after(method, locals, [2, 0, 1, 0])).toEqual(after(method, locals));
  },
};

for (const method of await loadMethods("federation"))
  for (const law of claimed(method.laws)) test(`${method.name}: ${FEDERATION_LAWS[law]}`, () => TESTS[law](method));

test("a server goes on from its state as if it had stayed", async () => {
  const [method] = (await loadMethods("federation")).filter(({ name }) => name === "diloco");
  const bound = bindDefaults(method!);
  const options = { method: bound, clients: NAMES, run: "r" };
  const answer = (round: number) =>
    encodeMessage({
      ...{ kind: "update", run: "r", from: "b", round, numbers: { steps: 1, rows: 1, loss: 1 } },
      tensors: moved(round + 8),
    });
  const whole = new Server(options, GLOBAL);
  whole.take([answer(0)]);
  const other = new Server(options, whole.state);
  expect(other.message()).toEqual(whole.message());
  whole.take([answer(1)]);
  other.take([answer(1)]);
  expect(other.state).toEqual(whole.state);
});

test("answers of strangers, of other runs and of other rounds are refused", async () => {
  const [method] = await loadMethods("federation");
  const server = new Server({ method: bindDefaults(method!), clients: NAMES, run: "r" }, GLOBAL);
  const message = {
    kind: "update",
    run: "r",
    from: "a",
    round: 0,
    numbers: { steps: 1, rows: 1, loss: 1 },
    tensors: GLOBAL,
  };
  const refused = (change: object) => () => server.take([encodeMessage({ ...message, ...change })]);
  expect(refused({ from: "eve" })).toThrow("an answer is of eve, who is no client of this run");
  expect(refused({ run: "s" })).toThrow("an answer is of another run");
  expect(refused({ round: 3 })).toThrow("an answer of a is of round 3, and this is round 0");
  expect(refused({ numbers: { loss: 1 } })).toThrow("the answer of a says not how many steps");
  expect(() => server.take([])).toThrow("no client has answered");
});
