/**
 * `train --clients`: clients with rows of their own, and a server, in one process. Everything but the way of messages
 * is that of run/among, so machines that exchange the same messages get the same weights.
 *
 * A training is shared by all clients, one after the other: its state is copied when one makes room for another.
 * Memory: that of a training, and on the host the weights, and each client's optimizer states.
 */
import type { Batch } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import type { Model } from "../../model/model.ts";
import { Client } from "../../run/among/client.ts";
import { type ClientRows, clientRows } from "../../run/among/client-rows.ts";
import type { LocalPart, Pace } from "../../run/among/contract.ts";
import { type Leg, LocalTraining, sharedOf } from "../../run/among/local-training.ts";
import { isDue, localSteps, participation, type Round, type ServerStep, serverSteps } from "../../run/among/pace.ts";
import { Seats } from "../../run/among/seats.ts";
import { Server } from "../../run/among/server.ts";
import { type Taking, takingPart } from "../../run/cluster/run-cluster.ts";
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
import { refuseOverCluster } from "./over-cluster.ts";
import { type AmongContext, refuseAmong, refuseWork } from "./refuse.ts";
import { chosenByLoss, lossesOf } from "./selection.ts";
import { type Begun, type Sharing, shareRounds, workOnRounds } from "./shared-rounds.ts";

type Data = TrainingData<Batch> & { readonly source: ReadRows };

/** Bytes of messages, as they would go over a line. */
interface Counted {
  up: number;
  down: number;
}

/** Trains a technique's model among clients. Throws UserError. */
export function trainAmong<D extends Data>(context: AmongContext, technique: Technique<Batch, D>): Promise<Outcome> {
  const taking = takingPart(context.options);
  const simulation = new Simulation(context, taking);
  const own: Technique<Batch, D> = {
    ...technique,
    data: async (opened) => simulation.data(await technique.data(opened), opened),
    work: async (built, data) => simulation.work(await technique.work(built, data), built),
  };
  if (taking?.worker) return workOnRounds(context, own, taking, () => simulation.sharing());
  return runTraining<Batch, D>(context, own, (_, __, read, built) => simulation.run(read, built));
}

/** What weights are in, and where. */
interface World {
  readonly local: LocalTraining<Batch>;
  readonly server: Server;
  readonly model: Model;
}

class Simulation {
  readonly #context: AmongContext;
  readonly #counted: Counted = { up: 0, down: 0 };
  readonly #told: Record<string, number> = {};
  /** What clients were last sent. */
  readonly #heard = new Map<Client<Batch>, Uint8Array>();
  #seated: readonly ClientRows[] = [];
  #seats: Seats<Batch> | undefined;
  #part: LocalPart | undefined;
  #pad = 0;
  readonly #taking: Taking | undefined;

  constructor(context: AmongContext, taking: Taking | undefined) {
    refuseAmong(context);
    refuseOverCluster(context);
    this.#context = context;
    this.#taking = taking;
  }

  get #method() {
    return this.#context.picks.federation[0]!;
  }

  /** Deals the rows out; an epoch is over when every client has seen its own. */
  async data<D extends Data>(read: D, { order, split, tools }: Opened): Promise<D> {
    const { options, seed } = this.#context;
    const groups = groupsOf(options.data, "--data", options.columns);
    this.#pad = tools?.tokenizer?.pad ?? 0;
    this.#seated = await clientRows(read.source, split?.rest(groups) ?? groups, {
      ...{ clients: options.clients!, split: options.client_split, alpha: options.client_alpha },
      ...{ key: options.client_key, seed, order, pad: this.#pad, pacing: this.#pacing() },
    });
    this.#seats = new Seats(
      read.source,
      this.#seated.map(({ source }) => source),
    );
    return { ...read, source: { ...read.source, batchesPerEpoch: this.#seats.batchesPerEpoch } };
  }

  /** The work of a technique, on the rows of whoever sits down, with what the method changes of local steps. */
  async work(own: Work<Batch>, { gpu, model, steps }: Built): Promise<Work<Batch>> {
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
        place: (step) => ({ step: seats.scheduled(step), steps }),
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

  /** How rows come in; undefined where all are in from the start. */
  #pacing() {
    const { client_order: order, pace, pace_begin: begin, pace_end: end } = this.#context.options;
    return order === "plain" ? undefined : { order, pace, begin, end, seed: this.#context.seed };
  }

  /** Losses of a client's rows under the server's weights. */
  async #losses(number: number, { local, server, model }: World): Promise<number[]> {
    const { options, signal } = this.#context;
    local.set(server.state.global);
    return lossesOf(model, this.#seated[number]!, { rows: options.batch_size, pad: this.#pad, signal });
  }

  /** The clients of a round: those of the clock, or as many by their losses. */
  async #chosen(begin: readonly number[], at: number, rounds: number, world: World): Promise<readonly number[]> {
    if (this.#context.options.client_choice !== "loss") return begin;
    const means: number[] = [];
    for (const number of this.#seated.keys()) {
      const losses = await this.#losses(number, world);
      means.push(losses.reduce((sum, loss) => sum + loss / losses.length, 0));
    }
    return chosenByLoss(means, begin.length, at, rounds);
  }

  /** Who begins and arrives when. */
  #steps(count: number): readonly ServerStep[] {
    const { options, seed } = this.#context;
    const { clock, client_times, clock_interval: interval, clock_buffer: buffer, client_share: share } = options;
    const times = client_times ?? this.#seated.map(() => 1);
    return serverSteps({ clock, times, interval, buffer, share, seed }, count);
  }

  #paceOf(steps: readonly ServerStep[]): Pace | undefined {
    const { clock, client_times, clock_interval: interval } = this.#context.options;
    if (clock === "rounds") return undefined;
    const names = this.#seated.map(({ name }) => name);
    const times = Object.fromEntries(names.map((name, i) => [name, client_times?.[i] ?? 1]));
    return { clock, interval, times, rates: participation(steps, names) };
  }

  /** Both sides, and who begins when in so many steps. */
  async #begun(total: number, { model, training }: BuiltRun<Batch>): Promise<Begun> {
    const most = Math.min(this.#context.options.local_steps ?? total, total);
    const steps = this.#steps(Math.ceil(total / most));
    const local = new LocalTraining<Batch>(training, model, this.#seats!, this.#part);
    return { most, steps, local, ...this.#sides(local, await local.weights(), steps) };
  }

  /** What a client does in a round. */
  #leg(name: string, { at, over, longest }: Round): Leg {
    const { options, signal, log, seed } = this.#context;
    return {
      ...{ scheduled: over, signal, fresh: options.client_state === "fresh" },
      steps: localSteps(longest, options.local_least ?? longest, { seed, name, round: at }),
      log: { event: (what, fields) => log.event(what, { round: at + 1, client: name, ...fields }) },
      ...{ logEvery: options.log_every, warn: (text) => this.#context.warn(text) },
    };
  }

  /** What rounds over a cluster need. */
  sharing(): Sharing {
    return {
      ...{ context: this.#context, seated: this.#seated },
      order: () => this.#seats!.state(),
      begun: (total, built) => this.#begun(total, built),
      leg: (name, round) => this.#leg(name, round),
    };
  }

  /** Hands the rounds out over a cluster; the model has the server's weights in the end. */
  async #shared(taking: Taking, total: number, built: BuiltRun<Batch>): Promise<Ran> {
    const ran = await shareRounds(this.sharing(), taking, total, built, ({ local, server }, watching) =>
      this.#evaluate(local, server, built, watching),
    );
    // To each who takes part: the answers of all, and no weights.
    [this.#counted.up, this.#counted.down] = [ran.answered, ran.answered];
    Object.assign(this.#told, ran.told);
    return ran;
  }

  /** All rounds; the model has the server's weights in the end. Throws UserError when it was interrupted. */
  async run<D>(read: ReadRun<D>, built: BuiltRun<Batch>): Promise<Ran> {
    const { options, log, progress } = this.#context;
    const { model, memory } = built;
    const { steps: total } = read;
    log.start({ device: model.gpu.adapter.device, parameters: model.parameterCount(), memory });
    if (this.#taking) return this.#shared(this.#taking, total, built);
    const { most, steps, local, server, clients } = await this.#begun(total, built);
    const watch = new HeldOutWatch(undefined);
    progress.start({ total: steps.reduce((sum, { begin }) => sum + begin.length, 0), unit: "clients" });
    const waiting = new Map<number, Uint8Array>();
    let last: StepResult | undefined;
    const world = { local, server, model };
    for (const [at, { begin: due, arrive: late, time }] of steps.entries()) {
      const begin = await this.#chosen(due, at, steps.length, world);
      const arrive = late === due ? begin : late;
      const over = at * most;
      const round: Round = { at, over, longest: Math.min(most, total - over) };
      const message = begin.length > 0 ? server.message() : new Uint8Array();
      for (const number of begin) {
        if (this.#seated[number]!.paced) await this.#pace(number, round, world);
        const answered = await this.#answer(clients[number]!, message, round);
        waiting.set(number, answered.bytes);
        last = answered.last;
        progress.advance(1, `round ${at + 1}, ${clients[number]!.name}`, `loss ${answered.loss.toFixed(4)}`);
      }
      await this.#goOn(clients, begin, round);
      const done = over + round.longest;
      const answers = arrive.map((number) => waiting.get(number)!);
      const down = message.length * begin.length;
      this.#counted.down += down;
      const loss =
        answers.length > 0 ? this.#take(server, answers, { round: at + 1, step: done, time, down }) : undefined;
      if (last && loss !== undefined) last = { ...last, step: done, metrics: { loss } };
      if (isDue(done, over, options.eval_every) || at === steps.length - 1)
        await this.#evaluate(local, server, built, { done, watch });
    }
    progress.done();
    Object.assign(this.#told, { clients: clients.length, rounds: steps.length });
    return { step: total, last, watch };
  }

  /** Orders a client's rows for a round. */
  async #pace(number: number, { at, longest }: Round, world: World): Promise<void> {
    const { paced } = this.#seated[number]!;
    const random = this.#context.options.client_order === "random";
    const losses = random ? paced!.rows.map(() => 0) : await this.#losses(number, world);
    paced!.begin(losses, longest * this.#context.options.accumulate, at);
  }

  /** A client's steps of a round. */
  #answer(client: Client<Batch>, message: Uint8Array, round: Round) {
    this.#heard.set(client, message);
    return client.answer(message, this.#leg(client.name, round));
  }

  /** Lets clients that are not asked go on, where the method says so, with the weights that they were last sent. */
  async #goOn(clients: readonly Client<Batch>[], asked: readonly number[], round: Round): Promise<void> {
    if (!this.#method.method.restless) return;
    for (const [number, client] of clients.entries()) {
      const heard = this.#heard.get(client);
      if (heard && !asked.includes(number)) await this.#answer(client, heard, round);
    }
  }

  /** Gives answers to the server, and counts and logs what went over the line; gives the mean loss. */
  #take(
    server: Server,
    answers: readonly Uint8Array[],
    { down, ...told }: { readonly round: number; readonly step: number; readonly time: number; readonly down: number },
  ): number {
    const up = answers.reduce((sum, { length }) => sum + length, 0);
    this.#counted.up += up;
    const { from, loss, metrics } = server.take(answers);
    this.#context.log.event("round", { ...told, clients: from, loss, bytes_up: up, bytes_down: down, ...metrics });
    return loss;
  }

  #sides(local: LocalTraining<Batch>, weights: Server["state"]["global"], steps: readonly ServerStep[]) {
    const { options } = this.#context;
    const method = this.#method;
    const run = "simulated";
    const dtype = options.message_dtype ?? method.method.dtype;
    const names = this.#seated.map(({ name }) => name);
    const server = new Server({ method, clients: names, run, pace: this.#paceOf(steps) }, weights);
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
