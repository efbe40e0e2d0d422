/** `train align-spaces`: a mixture of experts that maps vectors of two spaces onto each other; needs no GPU. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import { checkFile, readNetworks, saveNetworks } from "../../run/small-nets/file.ts";
import { align, measure, type Pairs, pairsAt } from "../spaces/align.ts";
import { Connector, DIRECTIONS, type Direction } from "../spaces/connector.ts";
import { cosineAndSquares, infoNce } from "../spaces/losses.ts";
import type { SPACES } from "../spaces/options.ts";
import { readPairs } from "../spaces/read-pairs.ts";

type SpacesContext = Context<typeof SPACES>;

const TURNS: Readonly<Record<"both" | "a-to-b" | "b-to-a", readonly Direction[]>> = {
  both: DIRECTIONS,
  "a-to-b": ["a_to_b"],
  "b-to-a": ["b_to_a"],
};

/** Pairs that teach and pairs that measure; the same where none are held out. Throws UserError where none is left. */
function split(pairs: Pairs, share: number, seed: number) {
  const held = share === 0 ? 0 : Math.max(1, Math.round(share * pairs.count));
  if (held >= pairs.count)
    throw new UserError(
      `of ${pairs.count} pairs ${held} are held out, and none is left to learn from`,
      "give more rows, or --held-share 0",
    );
  const order = permutation(pairs.count, seed, 0, "held-out pairs");
  const taught = pairsAt(pairs, order.subarray(held));
  return { held, taught, measured: held === 0 ? taught : pairsAt(pairs, order.subarray(0, held)) };
}

/** The connector of another run, or a new one that passes vectors on. Throws UserError where it does not fit. */
async function connectorOf({ args, options, seed }: SpacesContext, { widths }: Pairs) {
  const { experts, top_k: top, hidden, lr } = options;
  if (top > experts)
    throw new UserError(`--top-k ${top} is more than ${experts} experts`, `give --top-k ${experts} or more --experts`);
  const connector = new Connector({ ...widths, experts, top, hidden, lr, seed });
  if (args[0] === undefined) return { connector, read: [] };
  const wanted = { wanted: "gates.a_to_b.0.weight", what: "connector of spaces" };
  const hint = "give a result of bun run train align-spaces";
  const { checkpoint, tensors } = await readNetworks(args[0], { ...wanted, hint });
  connector.fill(tensors, args[0]);
  return { connector, read: [{ checkpoint, role: "connector" }] };
}

/** One line for each pair: its vectors, and what each becomes in the other space. */
function mappedRows(connector: Connector, pairs: Pairs): string {
  const { a: wideA, b: wideB } = pairs.widths;
  const [inB, inA] = [connector.map("a_to_b", pairs.a, pairs.count), connector.map("b_to_a", pairs.b, pairs.count)];
  const row = (values: Float64Array, i: number, width: number) => [...values.subarray(i * width, (i + 1) * width)];
  const lines = Array.from({ length: pairs.count }, (_, i) =>
    JSON.stringify({
      ...{ a: row(pairs.a, i, wideA), b: row(pairs.b, i, wideB) },
      ...{ a_to_b: row(inB, i, wideB), b_to_a: row(inA, i, wideA) },
    }),
  );
  return `${lines.join("\n")}\n`;
}

export async function alignSpaces(context: SpacesContext): Promise<Outcome> {
  const { options, seed, out, progress, signal } = context;
  const inputs = [...context.args.slice(0, 1), options.data];
  refuseInputs(out, inputs);
  if (options.map !== undefined) refuseInputs(options.map, [...inputs, out], "--map");
  const pairs = await readPairs(options.data);
  const { held, taught, measured } = split(pairs, options.held_share, seed);
  const { connector, read } = await connectorOf(context, pairs);
  const { a, b } = pairs.widths;
  const found = { pairs: pairs.count, held, widths: { a, b }, steps: options.steps };
  if (context.dryRun) {
    context.print(`${taught.count} pairs of ${a} and ${b} numbers, ${held} held out, ${options.steps} steps`);
    context.json(found);
    return {};
  }
  checkFile(out);
  await tryTarget(out);
  const mapped = options.map === undefined ? undefined : textOutput(options.map, "--map");
  context.onExit((ok) => (ok ? mapped?.commit() : mapped?.discard()));
  const loss = options.loss === "cosine" ? cosineAndSquares : infoNce(options.tau);
  const before = measure(connector, measured, loss);
  progress.start({ total: options.steps, unit: "steps" });
  let paused = performance.now();
  const { steps, batch_size: batch, balance } = options;
  const directions = TURNS[options.directions];
  for (const step of align(connector, taught, { steps, batch, loss, balance, directions, seed })) {
    context.log.event("align", step);
    progress.advance(1, undefined, `loss ${step.loss.toFixed(4)}`);
    if (performance.now() - paused < 50) continue;
    await Bun.sleep(0); // lets Ctrl-C through
    paused = performance.now();
    signal.throwIfAborted();
  }
  progress.done();
  const after = measure(connector, measured, loss);
  const step = { script: "train align-spaces", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(step, read, (text) => context.warn(text), [{ ref: options.data, role: "data" }]);
  await saveNetworks(out, connector.tensors(), lineage);
  mapped?.write(mappedRows(connector, pairs));
  context.json({ ...found, before, after, out });
  if (!options.json && out !== "-")
    for (const direction of DIRECTIONS)
      context.print(
        `${direction}  retrieval@1 ${after[direction].retrieval.toFixed(4)} (${before[direction].retrieval.toFixed(4)} before)  loss ${after[direction].loss.toFixed(4)}`,
      );
  return { output: out === "-" ? "stdout" : out };
}
