/** What servers make of clients whose losses are parabolas or least squares, of which the best weights are known. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { EMPTY, type Federation, type Pace, type Parcel, type Tensors } from "../../../src/run/among/contract.ts";
import { encodeMessage } from "../../../src/run/among/message.ts";
import { type PaceOptions, participation, serverSteps } from "../../../src/run/among/pace.ts";
import { principalWeights } from "../../../src/run/among/rules/principal-directions.ts";
import { Server } from "../../../src/run/among/server.ts";
import { symmetricInverse } from "../../../src/tensor/linear-algebra/cholesky.ts";
import { method as admm } from "../../../src/train/methods/federations/admm.ts";
import { method as afa } from "../../../src/train/methods/federations/afa.ts";
import { method as fedfix } from "../../../src/train/methods/federations/fedfix.ts";
import { method as principal } from "../../../src/train/methods/federations/principal-svd.ts";
import { normals } from "../../support/random.ts";

const of = (...values: number[]): Tensors => new Map([["w", Float32Array.from(values)]]);
const at = (tensors: Tensors): number[] => [...tensors.get("w")!];

/** The solution of a symmetric positive definite system. */
function solveSquare(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const n = right.length;
  const inverse = symmetricInverse(Float64Array.from(matrix.flat()), n)!;
  return right.map((_, a) => right.reduce((sum, value, b) => sum + inverse[a * n + b]! * value, 0));
}

interface Host {
  /** Weights after so many steps of a rate from `x`. */
  local(
    x: readonly number[],
    round: number,
  ): { readonly x: readonly number[]; readonly steps: number; readonly rate: number };
}

/** Rounds of clients that reckon on the host; the server's weights after each. */
function rounds(
  method: Federation,
  given: Readonly<Record<string, unknown>>,
  {
    clients,
    start,
    pace,
    count,
  }: { clients: readonly Host[]; start: readonly number[]; pace: PaceOptions; count: number },
): number[][] {
  const bound = bindDefaults(method, given);
  const names = clients.map((_, i) => `c${i}`);
  const steps = serverSteps(pace, count);
  const { clock, interval } = pace;
  const times = Object.fromEntries(names.map((name, i) => [name, pace.times[i]!]));
  const known: Pace | undefined =
    clock === "rounds" ? undefined : { clock, interval, times, rates: participation(steps, names) };
  const server = new Server({ method: bound, clients: names, run: "r", pace: known }, of(...start));
  const kept = new Map<number, Parcel>();
  const waiting = new Map<number, Uint8Array>();
  const found: number[][] = [];
  for (const [i, { begin, arrive }] of steps.entries()) {
    for (const client of begin) {
      const { global, round } = server.state;
      const own = kept.get(client) ?? EMPTY;
      const from = method === admm && own.tensors.size > 0 ? own.tensors : global;
      const { x, steps: taken, rate } = clients[client]!.local(at(from), i);
      const about = { round, global, told: EMPTY, kept: own, found: EMPTY, rows: 1, dtype: "f32" } as const;
      const answer = method.answer({ ...about, values: bound.values, local: of(...x), steps: taken, rate });
      if (answer.kept) kept.set(client, answer.kept);
      const numbers = { ...answer.sent.numbers, steps: taken, rows: 1, loss: 0 };
      const message = { kind: "update", run: "r", from: names[client]!, round, numbers, tensors: answer.sent.tensors };
      waiting.set(client, encodeMessage(message));
    }
    if (arrive.length > 0) server.take(arrive.map((client) => waiting.get(client)!));
    found.push(at(server.state.global));
  }
  return found;
}

/** 1/2 h (x - centre)^2, by gradient descent. */
const parabola = (h: number, centre: number, rate: number, steps: (round: number) => number): Host => ({
  local([start = 0], round) {
    let x = start;
    const count = steps(round);
    for (let i = 0; i < count; i++) x -= rate * h * (x - centre);
    return { x: [x], steps: count, rate };
  },
});

const PACE = { interval: 1, buffer: 1, share: 1, seed: 0 } as const;

describe("fedfix", () => {
  // The second client is five times as slow, and wants 1 where the first wants 0.
  const clients = [parabola(1, 0, 0.02, () => 5), parabola(1, 1, 0.02, () => 5)];
  const last = (clock: PaceOptions["clock"], kind: string, given: Partial<PaceOptions> = {}) => {
    const pace = { ...PACE, clock, times: [1, 5], ...given };
    const all = rounds(fedfix, { fedfix_weights: kind }, { clients, start: [0.2], pace, count: 600 });
    // Late arrivals make the weights swing: what is compared is their mean.
    const tail = all.slice(-300).map(([x]) => x!);
    return tail.reduce((a, b) => a + b, 0) / tail.length;
  };

  test("weights that are identical go to where fast clients want, corrected ones to the true optimum", () => {
    for (const [clock, biased] of [
      ["interval", 1 / 6],
      ["each", 1 / 6],
    ] as const) {
      expect(Math.abs(last(clock, "identical") - biased)).toBeLessThan(0.03);
      expect(Math.abs(last(clock, "unbiased") - 0.5)).toBeLessThan(0.03);
    }
    expect(Math.abs(last("rounds", "identical") - 0.5)).toBeLessThan(1e-3);
  });

  test("an interval as long as the slowest client is a round of all, and equal times make p K of one arrival", () => {
    const pace = { ...PACE, times: [1, 5] };
    const run = (own: PaceOptions) => rounds(fedfix, {}, { clients, start: [0.2], pace: own, count: 7 });
    expect(run({ ...pace, clock: "interval", interval: 5 })).toEqual(run({ ...pace, clock: "rounds" }));
    const arrivals = [{ from: "a", round: 0, steps: 1, rows: 1, sent: { tensors: of(1), numbers: {} } }];
    const names = ["a", "b", "c"];
    const even = Object.fromEntries(names.map((name) => [name, 2]));
    const rates = Object.fromEntries(names.map((name) => [name, 1 / 3]));
    const { values } = bindDefaults(fedfix);
    const made = fedfix.server({
      ...{ values, round: 0, global: of(0), kept: EMPTY, arrivals, clients: names },
      pace: { clock: "each", interval: 1, times: even, rates },
    });
    expect(at(made.global)[0]!).toBeCloseTo(1, 6);
    expect(made.metrics).toEqual({ "counts.a": 1 / 3, "counts.b": 1 / 3, "counts.c": 1 / 3 });
  });
});

describe("afa", () => {
  // Four clients, of which the fast one wants -3 and the others 1: the mean of what they want is 0.
  const wanted = [-3, 1, 1, 1];
  const clients = wanted.map((centre, i) => parabola(1, centre, 0.05, (round) => 1 + ((3 * round + i) % 5)));
  const floor = (rule: string) => {
    const pace = { ...PACE, clock: "buffer", buffer: 1, times: [1, 6, 7, 8] } as const;
    const all = rounds(afa, { afa_rule: rule, afa_rate: 0.03 }, { clients, start: [2], pace, count: 800 });
    const tail = all.slice(-400).map(([x]) => (x! * x!) / 2);
    return tail.reduce((a, b) => a + b, 0) / tail.length;
  };

  test("with uneven arrival the memory of all clients has the lower floor", () => {
    const [cd, cs] = [floor("cd"), floor("cs")];
    expect(cs).toBeLessThan(0.2 * cd);
    expect(cd).toBeGreaterThan(0.3);
  });

  test("where all arrive, cs is cd, and one step at rate 1 is gradient descent on the mean", () => {
    const pace = { ...PACE, clock: "rounds", times: [1, 1, 1, 1] } as const;
    const run = (rule: string) => rounds(afa, { afa_rule: rule }, { clients, start: [2], pace, count: 20 });
    for (const [i, [x]] of run("cs").entries()) expect(x!).toBeCloseTo(run("cd")[i]![0]!, 5);
    const whole = wanted.map((centre) => parabola(0.4, centre, 1, () => 1));
    const [x] = rounds(afa, { afa_rate: 0.5 }, { clients: whole, start: [2], pace, count: 1 });
    expect(x![0]!).toBeCloseTo(2 - 0.5 * 0.4 * 2, 6);
  });
});

describe("admm", () => {
  // Linear regression of ten clients with inputs of their own.
  const [K, D, N, RHO] = [10, 4, 12, 0.8];
  const truth = [1, -2, 0.5, 3];
  const problems = Array.from({ length: K }, (_, k) => {
    const x = Array.from({ length: N }, (__, i) => [...normals(50 * k + i, D, 0.4 + 0.1 * k)]);
    const noise = normals(900 + k, N, 0.3);
    const y = x.map((row, i) => row.reduce((sum, value, d) => sum + value * truth[d]!, 0) + noise[i]!);
    const h = truth.map((_, a) => truth.map((__, b) => x.reduce((sum, row) => sum + (row[a]! * row[b]!) / N, 0)));
    const c = truth.map((_, a) => x.reduce((sum, row, i) => sum + (row[a]! * y[i]!) / N, 0));
    return { h, c };
  });
  const times = (h: readonly (readonly number[])[], x: readonly number[]) =>
    h.map((row) => row.reduce((sum, value, d) => sum + value * x[d]!, 0));
  const plus = (h: readonly (readonly number[])[], rho: number) =>
    h.map((row, a) => row.map((v, b) => v + (a === b ? rho : 0)));
  const sumOf = (of: (problem: (typeof problems)[number], k: number) => readonly number[]) =>
    problems.map(of).reduce((a, b) => a.map((value, d) => value + b[d]!));
  const pooled = solveSquare(
    truth.map((_, a) => truth.map((__, b) => problems.reduce((sum, { h }) => sum + h[a]![b]!, 0))),
    sumOf(({ c }) => c),
  );
  const distance = (w: readonly number[]) => Math.hypot(...w.map((value, d) => value - pooled[d]!));

  /** The method with exact clients; `noise` of the link to each client. */
  function ours(count: number, noise: (round: number, k: number) => ArrayLike<number>, rho = RHO): number[][] {
    const { values } = bindDefaults(admm, { admm_rho: rho });
    let global = of(0, 0, 0, 0);
    const kept = problems.map((): Parcel => EMPTY);
    return Array.from({ length: count }, (_, round) => {
      const arrivals = problems.map(({ h, c }, k) => {
        const heard = of(...at(global).map((value, d) => value + noise(round, k)[d]!));
        const last = kept[k]!.tensors.get("w");
        const own = last ? times(h, [...last]) : c;
        const right = at(heard).map((value, d) => rho * value + own[d]!);
        const local = of(...solveSquare(plus(h, rho), right));
        const about = {
          round,
          global: heard,
          told: EMPTY,
          found: EMPTY,
          rows: 1,
          dtype: "f32",
          steps: 1,
          rate: 1,
        } as const;
        const answer = admm.answer({ ...about, kept: kept[k]!, values, local });
        kept[k] = answer.kept!;
        return { from: `${k}`, round, steps: 1, rows: 1, sent: answer.sent };
      });
      const clients = problems.map((_, k) => `${k}`);
      ({ global } = admm.server({ values, round, global, kept: EMPTY, arrivals, clients }));
      return at(global);
    });
  }

  /** Consensus ADMM with a dual variable at each client, which hears the weights once for x and once for the dual. */
  function classic(count: number, noise: (round: number, k: number) => ArrayLike<number>): number[][] {
    let w = [0, 0, 0, 0];
    const z = problems.map(() => [0, 0, 0, 0]);
    return Array.from({ length: count }, (_, round) => {
      const sent = problems.map(({ h, c }, k) => {
        const heard = w.map((value, d) => value + noise(round, k)[d]!);
        const again = w.map((value, d) => value + noise(round, k + K)[d]!);
        const x = solveSquare(
          plus(h, RHO),
          c.map((value, d) => value - z[k]![d]! + RHO * heard[d]!),
        );
        z[k] = z[k]!.map((value, d) => value + RHO * (x[d]! - again[d]!));
        return x.map((value, d) => value + z[k]![d]! / RHO);
      });
      w = w.map((_, d) => sent.reduce((sum, each) => sum + each[d]! / K, 0));
      return w;
    });
  }
  const none = () => [0, 0, 0, 0];

  test("without noise its iterates are those of consensus ADMM, and end at the pooled optimum", () => {
    const [found, wanted] = [ours(60, none), classic(60, none)];
    for (const [i, w] of found.entries())
      for (const [d, value] of w.entries()) expect(value).toBeCloseTo(wanted[i]![d]!, 4);
    expect(distance(found.at(-1)!)).toBeLessThan(1e-3);
  });

  test("with noise on the links it stays nearer to the optimum than clients with dual variables", () => {
    const noise = (round: number, k: number) => normals(5000 + 40 * round + k, 4, 0.05);
    const floor = (found: readonly number[][]) =>
      found.slice(100).reduce((sum, w) => sum + distance(w), 0) / (found.length - 100);
    const [own, dual] = [floor(ours(300, noise)), floor(classic(300, noise))];
    expect(own).toBeLessThan(0.7 * dual);
  });

  test("a large rho keeps clients together, as averaging does", () => {
    const [found] = ours(1, none, 1e6);
    expect(Math.hypot(...found!)).toBeLessThan(1e-3);
  });
});

describe("principal_svd", () => {
  const arrivalsOf = (updates: readonly Float32Array[]) =>
    updates.map((update, i) => ({
      ...{ from: `${i}`, round: 1, steps: 1, rows: 1 },
      sent: { tensors: new Map([["w", update]]), numbers: {} },
    }));
  const updates = Array.from({ length: 5 }, (_, k) => normals(70 + k, 30).map((value, i) => value + 2 * Math.sin(i)));
  const made = (round: number, own: readonly Float32Array[], given = {}) =>
    principal.server({
      ...{ values: bindDefaults(principal, given).values, round, global: of(...normals(3, 30)), kept: EMPTY },
      ...{ arrivals: arrivalsOf(own), clients: own.map((_, i) => `${i}`) },
    }).global;

  test("is the formula of the merge after the first round, and the plain mean in it", () => {
    const gram = updates.map((a) => updates.map((b) => a.reduce((sum, value, i) => sum + value * b[i]!, 0)));
    const sum = (shares: readonly number[], i: number) =>
      shares.reduce((all, share, k) => all + share * updates[k]![i]!, 0);
    const shares = principalWeights(gram, 0.6);
    const start = normals(3, 30);
    for (const [i, value] of at(made(1, updates, { svd_keep: 0.6, svd_lambda: 2 })).entries())
      expect(value).toBeCloseTo(start[i]! + 2 * sum(shares, i), 4);
    for (const [i, value] of at(made(0, updates)).entries())
      expect(value).toBeCloseTo(start[i]! + sum([0.2, 0.2, 0.2, 0.2, 0.2], i), 4);
  });
});
