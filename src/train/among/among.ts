/**
 * `train --clients`: clients with rows of their own, and a server, in one process. Everything but the way of messages
 * is that of run/among, so machines that exchange the same messages get the same weights.
 *
 * A training is shared by all clients, one after the other: its state is copied when one makes room for another.
 * Memory: that of a training, and on the host the weights, and each client's optimizer states.
 */
import type { Batch } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { Client } from "../../run/among/client.ts";
import { clientRows } from "../../run/among/client-rows.ts";
import type { LocalPart, Pace } from "../../run/among/contract.ts";
import { LocalTraining, type Seated, sharedOf } from "../../run/among/local-training.ts";
import { localSteps, participation, type ServerStep, serverSteps } from "../../run/among/pace.ts";
import { Seats } from "../../run/among/seats.ts";
import { Server } from "../../run/among/server.ts";
import type { Outcome } from "../../run/command-context.ts";
import type { ReadRows } from "../../run/training/batch-source.ts";
import type { BuiltRun } from "../../run/training/build-run.ts";
import { HeldOutWatch, lossText } from "../../run/training/held-out-watch.ts";
import { joinWork } from "../../run/training/join-work.ts";
import type { ReadRun } from "../../run/training/open-run.ts";
import type { Ran } from "../../run/training/run-loop.ts";
import { runTraining } from "../../run/training/run-training.ts";
import type { Built, Opened, Technique, TrainingData, Work } from "../../run/training/technique.ts";
import type { StepResult } from "../../run/training/trainer.ts";
import { type AmongContext, refuseAmong, refuseWork } from "./refuse.ts";

type Data = TrainingData<Batch> & { readonly source: ReadRows };

/** Bytes of messages, as they would go over a line. */
interface Counted {
  up: number;
  down: number;
}

/** Trains a technique's model among clients. Throws UserError. */
export function trainAmong<D extends Data>(context: AmongContext, technique: Technique<Batch, D>): Promise<Outcome> {
  const simulation = new Simulation(context);
  return runTraining<Batch, D>(
    context,
    {
      ...technique,
      data: async (opened) => simulation.data(await technique.data(opened), opened),
      work: async (built, data) => simulation.work(await technique.work(built, data), built),
    },
    (_, __, read, built) => simulation.run(read, built),
  );
}

class Simulation {
  readonly #context: AmongContext;
  readonly #counted: Counted = { up: 0, down: 0 };
  readonly #told: Record<string, number> = {};
  #seated: readonly Seated<Batch>[] = [];
  #seats: Seats<Batch> | undefined;
  #part: LocalPart | undefined;

  constructor(context: AmongContext) {
    refuseAmong(context);
    this.#context = context;
  }

  get #method() {
    return this.#context.picks.federation[0]!;
  }

  /** Deals the rows out; an epoch is over when every client has seen its own. */
  async data<D extends Data>(read: D, { order, split, tools }: Opened): Promise<D> {
    const { options, seed } = this.#context;
    const groups = groupsOf(options.data, "--data", options.columns);
    this.#seated = await clientRows(read.source, split?.rest(groups) ?? groups, {
      ...{ clients: options.clients!, split: options.client_split, alpha: options.client_alpha },
      ...{ key: options.client_key, seed, order, pad: tools?.tokenizer?.pad ?? 0 },
    });
    this.#seats = new Seats(
      read.source,
      this.#seated.map(({ source }) => source),
    );
    return { ...read, source: { ...read.source, batchesPerEpoch: this.#seats.batchesPerEpoch } };
  }

  /** The work of a technique, on the rows of whoever sits down, with what the method changes of local steps. */
  async work(own: Work<Batch>, { gpu, model }: Built): Promise<Work<Batch>> {
    refuseWork(own);
    sharedOf(model); // refuses
    const { method, values } = this.#method;
    const seats = this.#seats!;
    this.#part = await method.local?.({ gpu, parameters: model.trainable(), values, seed: this.#context.seed });
    const part = this.#part;
    return joinWork(own.objective, [
      own,
      {
        source: seats,
        scheduled: (step) => seats.scheduled(step),
        multiplier: () => seats.rate,
        told: () => ({ ...this.#told, bytes_up: this.#counted.up, bytes_down: this.#counted.down }),
      },
      part && {
        updates: part.updates ?? [],
        ...(part.bytes === undefined ? {} : { memory: { [method.name]: part.bytes } }),
        free: () => part.free?.(),
      },
    ]);
  }

  /** Who begins and arrives when. */
  #steps(count: number): readonly ServerStep[] {
    const { options, seed } = this.#context;
    const { clock, client_times, clock_interval: interval, clock_buffer: buffer, client_share: share } = options;
    const times = client_times ?? this.#seated.map(() => 1);
    return serverSteps({ clock, times, interval, buffer, share, seed }, count);
  }

  #pace(steps: readonly ServerStep[]): Pace | undefined {
    const { clock, client_times, clock_interval: interval } = this.#context.options;
    if (clock === "rounds") return undefined;
    const names = this.#seated.map(({ name }) => name);
    const times = Object.fromEntries(names.map((name, i) => [name, client_times?.[i] ?? 1]));
    return { clock, interval, times, rates: participation(steps, names) };
  }

  /** All rounds; the model has the server's weights in the end. Throws UserError when it was interrupted. */
  async run<D>(read: ReadRun<D>, built: BuiltRun<Batch>): Promise<Ran> {
    const { options, signal, log, progress, seed } = this.#context;
    const { model, training, memory } = built;
    const { steps: total } = read;
    const most = Math.min(options.local_steps ?? total, total);
    const steps = this.#steps(Math.ceil(total / most));
    const local = new LocalTraining<Batch>(training, model, this.#seats!, this.#part);
    const { server, clients } = this.#sides(local, await local.weights(), steps);
    const watch = new HeldOutWatch(undefined);
    log.start({ device: model.gpu.adapter.device, parameters: model.parameterCount(), memory });
    progress.start({ total: steps.reduce((sum, { begin }) => sum + begin.length, 0), unit: "clients" });
    const waiting = new Map<number, Uint8Array>();
    let last: StepResult | undefined;
    for (const [at, { begin, arrive, time }] of steps.entries()) {
      const over = at * most;
      const longest = Math.min(most, total - over);
      const message = begin.length > 0 ? server.message() : new Uint8Array();
      for (const number of begin) {
        const client = clients[number]!;
        const own = localSteps(longest, options.local_least ?? longest, { seed, name: client.name, round: at });
        const answered = await client.answer(message, {
          ...{ scheduled: over, steps: own, fresh: options.client_state === "fresh", signal },
          log: { event: (name, fields) => log.event(name, { round: at + 1, client: client.name, ...fields }) },
          ...{ logEvery: options.log_every, warn: (text) => this.#context.warn(text) },
        });
        waiting.set(number, answered.bytes);
        this.#counted.down += message.length;
        last = answered.last;
        progress.advance(1, `round ${at + 1}, ${client.name}`, `loss ${answered.loss.toFixed(4)}`);
      }
      const answers = arrive.map((number) => waiting.get(number)!);
      const done = over + longest;
      if (answers.length > 0) {
        const up = answers.reduce((sum, { length }) => sum + length, 0);
        this.#counted.up += up;
        const { from, loss, metrics } = server.take(answers);
        const down = message.length * begin.length;
        log.event("round", {
          round: at + 1,
          step: done,
          time,
          clients: from,
          loss,
          bytes_up: up,
          bytes_down: down,
          ...metrics,
        });
        last = last && { ...last, step: done, metrics: { loss } };
      }
      const due =
        options.eval_every > 0 && Math.floor(done / options.eval_every) > Math.floor(over / options.eval_every);
      if (due || at === steps.length - 1) await this.#evaluate(local, server, built, { done, watch });
    }
    progress.done();
    Object.assign(this.#told, { clients: clients.length, rounds: steps.length });
    return { step: total, last, watch };
  }

  #sides(local: LocalTraining<Batch>, weights: Server["state"]["global"], steps: readonly ServerStep[]) {
    const { options } = this.#context;
    const method = this.#method;
    const run = "simulated";
    const dtype = options.message_dtype ?? method.method.dtype;
    const names = this.#seated.map(({ name }) => name);
    const server = new Server({ method, clients: names, run, pace: this.#pace(steps) }, weights);
    const clients = this.#seated.map(
      (seat) => new Client({ method, seat, training: local, dtype, run, feedback: options.message_feedback }),
    );
    return { server, clients };
  }

  /** Puts the server's weights into the model, and measures them. */
  async #evaluate(
    local: LocalTraining<Batch>,
    server: Server,
    { training }: BuiltRun<Batch>,
    { done, watch }: { readonly done: number; readonly watch: HeldOutWatch },
  ): Promise<void> {
    local.set(server.state.global);
    const losses = await training.measure();
    if (!losses) return;
    watch.hear(done, losses);
    this.#context.info(`step ${done}: held-out loss ${lossText(losses)}`);
    for (const { name, loss, counted } of losses)
      this.#context.log.event("eval", { step: done, name: "loss", group: name, value: loss, n: counted });
  }
}
