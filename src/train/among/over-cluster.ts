/**
 * Clients whose rounds are shared out over a cluster: a task is what a client does in a round, and whoever does it
 * makes the same bytes. So optimizers begin anew in each round, and a client's place in its rows follows from the
 * round. Everyone keeps a server of its own, which hears the same answers.
 */
import { createHash } from "node:crypto";
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import type { Client } from "../../run/among/client.ts";
import type { Leg, Seated } from "../../run/among/local-training.ts";
import type { ServerStep } from "../../run/among/pace.ts";
import type { RoundDone, Server } from "../../run/among/server.ts";
import { decodeServerState, encodeServerState } from "../../run/among/server-state.ts";
import type { RoundJob } from "../../run/cluster/contract.ts";
import type { WatchState } from "../../run/training/held-out-watch.ts";
import type { AmongContext } from "./refuse.ts";

export interface AmongJobOptions {
  readonly server: Server;
  readonly clients: readonly Client<Batch>[];
  readonly seated: readonly Seated<Batch>[];
  readonly steps: readonly ServerStep[];
  /** Micro-batches of a step. */
  readonly accumulate: number;
  /** What a client does in a round, from 0. */
  readonly leg: (client: string, round: number) => Leg;
}

/** Where a client is in its rows when so many batches are drawn. */
interface Place {
  readonly drawn: number;
  readonly state: ReturnType<Seated<Batch>["source"]["state"]>;
}

export class AmongJob implements RoundJob {
  readonly rounds: number;
  readonly tasks: number;
  /** What the last round gave. */
  done: RoundDone | undefined;
  /** Bytes of the answers of all rounds. */
  answered = 0;
  /** What is known of held-out losses, by who measures them; saved with the rest. */
  watched: WatchState = {};
  readonly #options: AmongJobOptions;
  readonly #starts: readonly Place[];
  readonly #places = new Map<number, Place>();

  /** Throws UserError where rounds have more or fewer clients than others. */
  constructor(options: AmongJobOptions) {
    const { steps, seated } = options;
    this.#options = options;
    this.rounds = steps.length;
    this.tasks = steps[0]?.begin.length ?? 0;
    if (steps.some(({ begin, arrive }) => begin.length !== this.tasks || arrive.length !== this.tasks))
      throw new UserError(
        "rounds over a cluster have all the same number of clients, each of which answers",
        "leave out --clock",
      );
    this.#starts = seated.map(({ source }) => ({ drawn: 0, state: structuredClone(source.state()) }));
  }

  /** The client of a task of a round, from 1. */
  #client(round: number, task: number): number {
    return this.#options.steps[round - 1]!.begin[task]!;
  }

  /** Leads a client to where its rows are when a round begins. */
  async #place(number: number, round: number): Promise<Place> {
    const { steps, clients, seated, leg, accumulate } = this.#options;
    const { name } = clients[number]!;
    const before = steps.slice(0, round - 1).flatMap(({ begin }, at) => (begin.includes(number) ? [at] : []));
    const drawn = before.reduce((sum, at) => sum + accumulate * leg(name, at).steps, 0);
    const known = this.#places.get(number);
    const from = known && known.drawn <= drawn ? known : this.#starts[number]!;
    const { source } = seated[number]!;
    source.load(structuredClone(from.state), name);
    for (let at = from.drawn; at < drawn; at++) await source.next();
    const place = { drawn, state: structuredClone(source.state()) };
    this.#places.set(number, place);
    return place;
  }

  async work(round: number, task: number): Promise<Uint8Array> {
    const { server, clients, leg } = this.#options;
    const number = this.#client(round, task);
    const client = clients[number]!;
    await this.#place(number, round);
    const { bytes } = await client.answer(server.message(), leg(client.name, round - 1));
    const { kept } = client.kept;
    if (kept.tensors.size > 0 || Object.keys(kept.numbers).length > 0)
      throw new UserError(
        "a client of this method keeps what is its own, and over a cluster anyone may be it",
        "choose another --federation, or leave out --cluster",
      );
    return bytes;
  }

  refusal(task: number, answer: Uint8Array): string | undefined {
    const { server, clients } = this.#options;
    try {
      const { from } = server.read(answer, "it");
      const expected = clients[this.#client(server.state.round + 1, task)]!.name;
      return from === expected ? undefined : `it is of ${from}, and the task is of ${expected}`;
    } catch (error) {
      if (error instanceof UserError) return error.message;
      throw error;
    }
  }

  async apply(_round: number, answers: readonly Uint8Array[]): Promise<void> {
    this.answered += answers.reduce((sum, { length }) => sum + length, 0);
    this.done = this.#options.server.take(answers);
  }

  get stateBytes(): number {
    const { global, kept, told } = this.#options.server.state;
    const values = [global, kept.tensors, told.tensors].flatMap((tensors) => [...tensors.values()]);
    return values.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** What the server knows, and where each client is in its rows. */
  async save(): Promise<readonly Uint8Array[]> {
    const { server, clients } = this.#options;
    const places: Place[] = [];
    for (const number of clients.keys()) places.push(await this.#place(number, server.state.round + 1));
    return encodeServerState(server.state, { places, answered: this.answered, watched: this.watched });
  }

  async load(round: number, parts: readonly Uint8Array[]): Promise<void> {
    const { server, clients, seated } = this.#options;
    const what = `the saved state of round ${round}`;
    const { state, besides } = decodeServerState(parts, what);
    const { places, answered, watched } = besides;
    if (state.round !== round || !Array.isArray(places) || places.length !== clients.length || !isObject(watched))
      throw new UserError(`${what} is of another run`, "all who take part need the same version");
    server.restore(state);
    for (const [number, place] of places.entries()) {
      if (!isObject(place) || typeof place.drawn !== "number") throw new UserError(`${what} has no places in the rows`);
      const { source } = seated[number]!;
      source.load(place.state, what);
      this.#places.set(number, { drawn: place.drawn, state: structuredClone(source.state()) });
    }
    this.answered = Number(answered);
    this.watched = watchedIn(watched);
  }

  async digest(): Promise<string> {
    const hash = createHash("sha256");
    for (const [name, values] of this.#options.server.state.global)
      hash.update(`${name}\n`).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return hash.digest("hex");
  }
}

/** What is known of held-out losses, from a state. */
function watchedIn({ best, waited }: JsonObject): WatchState {
  if (!isObject(best) || typeof best.step !== "number" || typeof best.loss !== "number") return {};
  return { best: { step: best.step, loss: best.loss }, ...(typeof waited === "number" ? { waited } : {}) };
}

/** Throws UserError for options with which a client's round depends on who did its rounds before. */
export function refuseOverCluster({ options, picks }: AmongContext): void {
  if (options.cluster === undefined) return;
  if (options.client_state !== "fresh")
    throw new UserError(
      "--cluster lets anyone do a client's round, and --client-state kept needs the optimizer's states of its last one",
      "add --client-state fresh",
    );
  const { method } = picks.federation[0]!;
  if (method.restless)
    throw new UserError(
      `--federation ${method.name} lets clients go on that are not asked, and over a cluster anyone may be a client`,
      "choose another, or leave out --cluster",
    );
  if (options.message_feedback)
    throw new UserError(
      "--message-feedback adds what a client's last message lost, and over a cluster anyone may do its next round",
      "leave it out",
    );
  if (options.client_order !== "plain" || options.client_choice === "loss")
    throw new UserError(
      "--client-order and --client-choice go by losses of the rows of all clients, which nobody has over a cluster",
      "leave them out",
    );
  if (options.clock !== "rounds")
    throw new UserError(
      `--clock ${options.clock} simulates time, and over a cluster it passes by itself`,
      "leave it out",
    );
}
