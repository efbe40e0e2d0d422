/** Runs the steps of a program in turns, where not all that they read or write is in memory at once. */
import type { Gpu, Prepared } from "../gpu/gpu.ts";
import type { Lent, Turns } from "./lent.ts";
import type { Step, StepParam } from "./step.ts";
import type { Tensor } from "./tensor.ts";

/** How a turn uses what it was lent. */
interface Use {
  readonly lent: Lent;
  readonly writes: boolean;
  /** All of it is written first where this is 0. */
  readonly accumulate: StepParam | undefined;
}

/** Steps in a row for which all that they were lent is in memory together. */
export interface Turn {
  readonly begin: number;
  readonly end: number;
  readonly uses: readonly Use[];
  readonly rows: Step["rows"];
  readonly turns: Turns;
  /** What the program asks for, in all turns. */
  readonly asked: readonly Lent[];
}

type Cut = Pick<Turn, "begin" | "end" | "uses" | "rows">;

/** What a step was lent. */
function usesOf({ bind, params }: Step, writes: ReadonlySet<string>): Use[] {
  return Object.entries(bind).flatMap(([name, { storage }]) =>
    storage.lent
      ? [
          {
            lent: storage.lent,
            writes: writes.has(name),
            accumulate: writes.has(name) ? params?.accumulate : undefined,
          },
        ]
      : [],
  );
}

/** Two uses of one thing by steps in a row. */
const joined = (a: Use, b: Use): Use => ({
  lent: a.lent,
  writes: a.writes || b.writes,
  // Written first by the second alone: the first has read it.
  accumulate: a.writes ? a.accumulate : undefined,
});

/**
 * Cuts steps where one thing takes the place of another, and around steps that may have nothing to do; none where
 * nothing is lent.
 */
export function cutTurns(steps: readonly Step[], writesOf: (step: Step, at: number) => readonly string[]): Turn[] {
  const cuts: Cut[] = [];
  let begin = 0;
  let uses = new Map<Lent, Use>();
  const cut = (end: number, rows?: Step["rows"]) => {
    if (end > begin) cuts.push({ begin, end, uses: [...uses.values()], rows });
    begin = end;
    uses = new Map();
  };
  for (const [at, step] of steps.entries()) {
    const own = usesOf(step, new Set(writesOf(step, at)));
    const held = [...uses.keys()];
    const excludes = ({ lent }: Use) => held.some((other) => other.place === lent.place && other !== lent);
    if (own.some(excludes) || step.rows) cut(at);
    for (const use of own) {
      const known = uses.get(use.lent);
      uses.set(use.lent, known ? joined(known, use) : use);
    }
    if (step.rows) cut(at + 1, step.rows);
  }
  cut(steps.length);
  const asked = cuts.flatMap(({ uses: all }) => all.map(({ lent }) => lent));
  const [first] = asked;
  return first ? cuts.map((one) => ({ ...one, turns: first.turns, asked })) : [];
}

interface Running {
  readonly prepared: readonly Prepared[];
  readonly bufferOf: (x: Tensor) => GPUBuffer;
}

/**
 * Runs all turns. Of an expert that has no rows nothing is fetched: how many it has is read back, once for each router.
 */
export async function runTurns(
  gpu: Gpu,
  turns: readonly Turn[],
  values: Readonly<Record<string, number>>,
  { prepared, bufferOf }: Running,
): Promise<void> {
  const [first] = turns;
  if (!first) return;
  first.turns.begin?.(first.asked);
  const offsets = new Map<number, Promise<Uint32Array>>();
  const rowsOf = async ({ offsets: x, expert }: NonNullable<Step["rows"]>) => {
    const read = offsets.get(x.storage.id) ?? gpu.readWords(bufferOf(x), x.shape[0]!, x.offset);
    offsets.set(x.storage.id, read);
    const found = await read;
    return found[expert + 1]! - found[expert]!;
  };
  const isZero = (param: StepParam | undefined) =>
    param !== undefined && (typeof param === "number" ? param : values[param.dynamic]) === 0;
  let ahead: Promise<unknown> = Promise.resolve();
  for (const { begin, end, uses, rows } of turns) {
    const count = rows && (await rowsOf(rows));
    let moved = false;
    for (const { lent, writes, accumulate } of uses) {
      if (count !== undefined && !writes) lent.heard?.(count);
      if (count !== 0) moved = (await lent.fetch(isZero(accumulate))) || moved;
      else if (isZero(accumulate)) lent.clear?.();
    }
    if (count !== 0) {
      gpu.replay(prepared.slice(begin, end));
      for (const { lent, writes } of uses) if (writes) lent.wrote();
    }
    for (const { lent } of uses) lent.passed?.();
    if (!moved) continue;
    gpu.submit();
    await ahead;
    // Reading anything waits until the GPU has come so far.
    ahead = gpu.readWords(first.asked[0]!.buffer, 1);
  }
  gpu.submit();
  await ahead;
}
