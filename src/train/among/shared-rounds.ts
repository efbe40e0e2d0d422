/** The rounds of clients over a cluster: the part of a worker, and of who hands them out and writes the result. */
import type { Batch } from "../../data/batch.ts";
import type { OrderState } from "../../data/order.ts";
import type { Client } from "../../run/among/client.ts";
import type { Leg, LocalTraining, Seated } from "../../run/among/local-training.ts";
import { isDue, type Round, type ServerStep } from "../../run/among/pace.ts";
import type { Server } from "../../run/among/server.ts";
import { agreedSettings, coordinate, type Taking, tryServer, workFor } from "../../run/cluster/run-cluster.ts";
import type { Outcome } from "../../run/command-context.ts";
import { type BuiltRun, buildRun } from "../../run/training/build-run.ts";
import { HeldOutWatch } from "../../run/training/held-out-watch.ts";
import { openRun, readRun } from "../../run/training/open-run.ts";
import type { Ran } from "../../run/training/run-loop.ts";
import type { Technique, TrainingData } from "../../run/training/technique.ts";
import { AmongJob } from "./over-cluster.ts";
import type { AmongContext } from "./refuse.ts";

/** Both sides of a training, and who begins when. */
export interface Begun {
  /** Local steps of a round, at most. */
  readonly most: number;
  readonly steps: readonly ServerStep[];
  readonly local: LocalTraining<Batch>;
  readonly server: Server;
  readonly clients: readonly Client<Batch>[];
}

/** What rounds over a cluster need of the training that they are of. */
export interface Sharing {
  readonly context: AmongContext;
  readonly seated: readonly Seated<Batch>[];
  order(): OrderState;
  begun(total: number, built: BuiltRun<Batch>): Promise<Begun>;
  leg(client: string, round: Round): Leg;
}

/** What is told of a training at its end. */
export interface SharedRan extends Ran {
  readonly told: Readonly<Record<string, number>>;
  /** Bytes of all answers. */
  readonly answered: number;
}

/** The rounds as a job, and what all who take part must agree on. */
async function jobOf(sharing: Sharing, total: number, built: BuiltRun<Batch>) {
  const { context, seated } = sharing;
  const begun = await sharing.begun(total, built);
  const { most, steps, server, clients } = begun;
  const job = new AmongJob({
    ...{ server, clients, steps, seated, accumulate: context.options.accumulate },
    leg: (name, at) => sharing.leg(name, { at, over: at * most, longest: Math.min(most, total - at * most) }),
  });
  const settings = agreedSettings(context, job, { order: sharing.order(), weights: await job.digest() });
  return { ...begun, job, settings };
}

/** A worker's part: tasks until the run is over. `sharing` is asked once the rows are read. */
export async function workOnRounds<D extends TrainingData<Batch>>(
  context: AmongContext,
  technique: Technique<Batch, D>,
  taking: Taking,
  sharing: () => Sharing,
): Promise<Outcome> {
  const { progress } = context;
  const opened = await openRun(context, technique);
  const read = await readRun(context, technique, opened);
  if (context.dryRun) return {};
  await tryServer(taking, context);
  const built = await buildRun(context, technique, opened, read);
  const { job, settings } = await jobOf(sharing(), read.steps, built);
  progress.start({ total: job.rounds, unit: "rounds" });
  const tasks = await workFor(taking, context, job, settings, {
    round: async () => progress.advance(1),
    leapt: (rounds) => progress.advance(rounds),
  });
  progress.done();
  context.json({ tasks, digest: await job.digest() });
  await built.training.free();
  return { told: `${tasks} tasks of ${job.rounds} rounds` };
}

/** Hands the rounds out; the model has the server's weights in the end. `evaluate` hears when it is time for it. */
export async function shareRounds(
  sharing: Sharing,
  taking: Taking,
  total: number,
  built: BuiltRun<Batch>,
  evaluate: (begun: Begun, watching: { readonly done: number; readonly watch: HeldOutWatch }) => Promise<void>,
): Promise<SharedRan> {
  const { context } = sharing;
  const { log, progress, options } = context;
  const { job, settings, ...begun } = await jobOf(sharing, total, built);
  const { most } = begun;
  let watch = new HeldOutWatch(undefined);
  progress.start({ total: job.rounds, unit: "rounds" });
  const counts = await coordinate(taking, context, job, settings, {
    async round(round, answers) {
      const { from: clients, loss, metrics } = job.done!;
      const up = answers.reduce((sum, { length }) => sum + length, 0);
      const step = Math.min(total, round * most);
      log.event("round", { round, step, clients, loss, bytes_up: up, ...metrics });
      progress.advance(1, `round ${round}`, `loss ${loss.toFixed(4)}`);
      if (isDue(step, step - most, options.eval_every) || round === job.rounds)
        await evaluate(begun, { done: step, watch });
      job.watched = watch.state();
    },
    leapt(rounds) {
      watch = new HeldOutWatch(undefined, job.watched);
      progress.advance(rounds);
    },
  });
  progress.done();
  const { answers, repeated, refused, dropped } = counts;
  context.info(`weights ${await job.digest()}`);
  const told = { clients: sharing.seated.length, rounds: job.rounds, answers, repeated, refused, dropped };
  return { step: total, last: undefined, watch, told, answered: job.answered };
}
