/**
 * `distill fedd2s`: classifiers that learn from rows of their own and share no rows and no weights, only what their
 * layers say of classes on average; with the rounds the deepest layers leave, and become personal. Atapour et al.,
 * "FedD2S: Personalized Data-Free Federated Knowledge Distillation", 2024, https://arxiv.org/abs/2402.10846
 *
 *   taps 1 .. L    a head on every layer; active in round r are those up to L - floor(r rho), one at least
 *   in a round     every client learns its rows, and the shared means at active taps (federation/client.ts)
 *   then           it tells the mean soft label of each tap and class with its number of rows, and all are averaged
 *
 * Heads learn the labels, too, without moving what they read: the source does not say what makes them know classes. A
 * round begins with a fresh optimizer. All clients take part in all rounds, and nothing is resumed.
 */
import path from "node:path";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { saveModel } from "../../model/save.ts";
import { describeModel } from "../../run/open-model.ts";
import { start } from "../../run/training/starting-model.ts";
import { activeTaps, aggregate } from "../federation/class-means.ts";
import { Client } from "../federation/client.ts";
import type { FEDD2S } from "../federation/options.ts";

/** The rows of each client, and what all begin with. Throws UserError. */
async function open(context: Context<typeof FEDD2S>) {
  const { args, options, seed } = context;
  const warn = (text: string) => context.warn(text);
  const [ref, ...more] = args;
  if (more.length > 0) throw new UserError(`one model for all clients, found ${args.join(" ")}`, "name one");
  const groups = groupsOf(options.data, "--data", options.columns);
  const begun = await start({ init: options.init, model: ref, seed, warn, dtype: "f32" });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, {}, warn);
  if (described.task !== "classifier")
    throw new UserError(
      `${described.ref} is a ${described.task}`,
      "clients share what they say of classes: a classifier",
    );
  const rows = [];
  for (const group of groups)
    rows.push({ name: group.name, examples: await loadExamples([group], described.examples) });
  const empty = rows.find(({ examples }) => examples.length === 0);
  if (empty) throw new UserError(`the client ${empty.name} has no rows`, "leave it out");
  return { begun, described, groups, rows };
}

export async function fedd2s(context: Context<typeof FEDD2S>): Promise<Outcome> {
  const { options, out, seed, signal, progress } = context;
  if (out === "-") throw new UserError("every client's checkpoint is a folder", "name a folder for all: -o clients/");
  const { begun, described, groups, rows } = await open(context);
  const { rounds, round_steps, tap_weight: weight, lr, batch_size: batchSize } = options;
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  context.onExit(() => gpu.close());
  if (context.dryRun) {
    context.json({ clients: rows.map(({ name, examples }) => ({ name, rows: examples.length })), rounds, out });
    return {};
  }
  const clients: Client[] = [];
  for (const { name, examples } of rows)
    clients.push(new Client(await begun.load(gpu), { name, examples, batchSize, weight, seed }));
  const { taps } = clients[0]!;
  const rate = options.drop_rate ?? taps / rounds;
  progress.start({ total: rounds * round_steps * clients.length, unit: "steps" });
  const last = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const active = activeTaps(taps, round, rate);
    for (const client of clients) {
      const loss = await client.learn({
        ...{ optimizer: context.picks.optimizer[0]!, rate: () => lr, steps: round_steps, seed: seed + round, signal },
        onStep: () => progress.advance(1),
      });
      last.set(client.name, loss);
    }
    const sent = [];
    for (const client of clients) sent.push(await client.means());
    const shared = aggregate(sent);
    for (const client of clients) client.hear(shared, activeTaps(taps, round + 1, rate));
    context.log.event("round", { round: round + 1, active, losses: Object.fromEntries(last) });
  }
  progress.done();
  const step = { script: "distill fedd2s", version: context.version, options: context.chosen, seed };
  const warn = (text: string) => context.warn(text);
  for (const [i, client] of clients.entries()) {
    const data = [{ ref: groups[i]!.path, role: "data" }];
    const lineage = lineageOf({ ...step, options: { ...step.options, client: client.name } }, begun.read, warn, [
      ...begun.others,
      ...data,
    ]);
    await saveModel(client.model, path.join(out, `${client.name}/`), { files: described.files, lineage });
    client.free();
  }
  context.json({
    ...{ taps, rounds, steps: rounds * round_steps },
    clients: rows.map(({ name, examples }) => ({ name, rows: examples.length, loss: last.get(name)! })),
  });
  return { output: `${out} (${clients.length} clients)`, told: `${clients.length} clients, ${rounds} rounds` };
}
