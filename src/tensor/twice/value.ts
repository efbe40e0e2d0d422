/**
 * Values in f64 on the host that remember how they were made, so that gradients of them are such values again: the
 * way back of every op is made of ops. For methods that go back through steps of a training, whose models are small.
 *
 *   const w = variable([0.5, 2], [2]);
 *   const [slope] = gradients(sum(mul(w, mul(w, w))), [w]);       3 w^2
 *   const [curve] = gradients(sum(slope), [w]);                   6 w
 *
 * Models that are trained on a GPU go through recorder.ts, which goes back once.
 */
import { sizeOf } from "../tensor.ts";

export interface Value {
  /** Values that are made later have larger numbers. */
  readonly id: number;
  readonly shape: readonly number[];
  readonly data: Float64Array;
  /** What it was made of; empty where no gradient can reach it. */
  readonly from: readonly Value[];
  /** For each of `from`, its gradient for that of this value. */
  readonly back: readonly ((gradient: Value) => Value)[];
  /** Whether a gradient can reach it. */
  readonly isFree: boolean;
}

let made = 0;
let taping = true;

const leaf = (data: ArrayLike<number>, shape: readonly number[], isFree: boolean): Value => {
  if (data.length !== sizeOf(shape)) throw new RangeError(`${data.length} numbers are not of shape (${shape.join()})`);
  const own = data instanceof Float64Array ? data : Float64Array.from(data);
  return { id: made++, shape, data: own, from: [], back: [], isFree };
};

/** Numbers that take a gradient. An array of f64 is kept, not copied. */
export const variable = (data: ArrayLike<number>, shape: readonly number[]): Value => leaf(data, shape, true);

/** Numbers that take none. */
export const constant = (data: ArrayLike<number>, shape: readonly number[]): Value => leaf(data, shape, false);

/** A value of the same numbers that no gradient goes through. */
export const held = ({ data, shape }: Value): Value => constant(data, shape);

/** What an op makes. */
export function result(
  data: Float64Array,
  shape: readonly number[],
  from: readonly Value[],
  back: readonly ((gradient: Value) => Value)[],
): Value {
  const isFree = taping && from.some((each) => each.isFree);
  const kept = isFree ? { from, back } : { from: [], back: [] };
  return { id: made++, shape, data, ...kept, isFree };
}

/** Nothing that `run` makes remembers how it was made. */
export function untaped<T>(run: () => T): T {
  const before = taping;
  taping = false;
  try {
    return run();
  } finally {
    taping = before;
  }
}

/** The values that `of` was made of and that lead to one of `by`, the latest first. */
function wayBack(of: Value, by: readonly Value[]): Value[] {
  const seen = new Set<Value>([of]);
  const open = [of];
  for (let next = open.pop(); next; next = open.pop())
    for (const each of next.from)
      if (each.isFree && !seen.has(each)) {
        seen.add(each);
        open.push(each);
      }
  const leads = new Set<Value>(by);
  const order = [...seen].sort((a, b) => a.id - b.id);
  for (const each of order) if (each.from.some((one) => leads.has(one))) leads.add(each);
  return order.filter((each) => leads.has(each)).reverse();
}

function plus(a: Value, b: Value): Value {
  const sums = new Float64Array(a.data.length);
  for (let i = 0; i < sums.length; i++) sums[i] = a.data[i]! + b.data[i]!;
  return result(sums, a.shape, [a, b], [(g) => g, (g) => g]);
}

/**
 * The gradients of `of`, whose numbers are summed, by each of `by`: values that can be gone back through in turn, or
 * with `once` plain ones.
 */
export function gradients(of: Value, by: readonly Value[], { once = false } = {}): Value[] {
  const gather = (): Value[] => {
    const found = new Map<Value, Value>([[of, constant(new Float64Array(of.data.length).fill(1), of.shape)]]);
    const wanted = new Set(by);
    const way = wayBack(of, by);
    const leads = new Set(way);
    for (const each of way) {
      const gradient = found.get(each);
      if (!gradient) continue;
      if (!wanted.has(each)) found.delete(each); // not needed any more
      for (const [i, one] of each.from.entries()) {
        if (!leads.has(one) && !wanted.has(one)) continue;
        const own = each.back[i]!(gradient);
        const other = found.get(one);
        found.set(one, other ? plus(other, own) : own);
      }
    }
    return by.map((each) => found.get(each) ?? constant(new Float64Array(each.data.length), each.shape));
  };
  return once ? untaped(gather) : gather();
}
