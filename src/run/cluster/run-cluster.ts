/** A training over a Redis server, from its options to its end. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { OrderState } from "../../data/order.ts";
import type { JsonObject } from "../../json.ts";
import { humanBytes } from "../../text/format.ts";
import type { CommandContext } from "../command-context.ts";
import type { RunContext } from "../training/technique.ts";
import { type Address, parseAddress } from "./address.ts";
import { Board } from "./board.ts";
import { Connection } from "./connection.ts";
import type { RoundJob } from "./contract.ts";
import { Coordinator } from "./coordinator.ts";
import type { ClusterCounts, ClusterEvents } from "./events.ts";
import { awaitRun, beginRun, secretOf } from "./settings.ts";
import { Worker } from "./worker.ts";

export interface ClusterOptions {
  readonly cluster?: string | undefined;
  readonly worker: boolean;
  readonly cluster_key: string;
  readonly lag: number;
  readonly copies: number;
  readonly wait: number;
  readonly cluster_checkpoint?: number | undefined;
}

/** What a training hears of its run. */
export interface Hearing {
  /** A round is over, and its answers were applied. */
  round(round: number, answers: readonly Uint8Array[]): Promise<void>;
  /** So many rounds were left out: the state after them was taken. */
  leapt(rounds: number): void;
}

/** A run that is to be taken part in. */
export interface Taking extends Omit<ClusterOptions, "cluster"> {
  readonly address: Address;
  readonly secret: string;
}

/** Who takes part in which run; undefined without --cluster. Throws UserError. */
export function takingPart({ cluster, ...options }: ClusterOptions): Taking | undefined {
  if (cluster === undefined) return undefined;
  const address = parseAddress(cluster);
  return { ...options, address, secret: secretOf(address, options.cluster_key) };
}

/**
 * What all who take part must agree on, wherever their files are: options that decide the result, order and contents of
 * the rows, and the weights that the run begins with.
 */
export function agreedSettings(
  { decisive, seed, version }: Pick<RunContext, "decisive" | "seed" | "version">,
  { rounds, tasks }: RoundJob,
  { order, weights }: { readonly order: OrderState; readonly weights: string },
): JsonObject {
  const { data: _, eval_data: __, init: ___, tokenizer: ____, ...options } = decisive;
  const { made_with: rows } = order;
  return JSON.parse(JSON.stringify({ version, seed, ...options, rounds, tasks, rows, weights }));
}

type Told = Pick<CommandContext, "signal" | "warn" | "info" | "log">;

/** What the log and people hear. */
function eventsFor({ warn, info, log }: Told, hearing: Hearing): ClusterEvents {
  return {
    round: (...of) => hearing.round(...of),
    saved(round, bytes) {
      log.event("checkpoint", { round, bytes });
    },
    loaded(round, before, bytes) {
      log.event("checkpoint_loaded", { round, before, bytes });
      info(`took the checkpoint of round ${round} (${humanBytes(bytes)})`);
      hearing.leapt(round - before);
    },
    refused(what, fault) {
      log.event("refused", { what, fault });
      warn(`refused ${what}: ${fault}`);
    },
    joined(worker) {
      log.event("joined", { worker });
      info(`${worker} takes part`);
    },
    dropped(worker, seconds) {
      log.event("dropped", { worker, silent: seconds });
      warn(`${worker} was dropped after ${seconds.toFixed(1)} s without a word; it may come back`);
    },
  };
}

async function board({ address, wait }: Taking, { signal, warn }: Told): Promise<Board> {
  return new Board(await Connection.open(address, { wait, signal, warn }), address.run);
}

/** Throws UserError where the server is not there or does not let us in. */
export async function tryServer(taking: Taking, told: Told): Promise<void> {
  (await board(taking, told)).connection.close();
}

/** Hands out the tasks of all rounds, from those on that the board has. `settings` are what all must agree on. */
export async function coordinate(
  taking: Taking,
  told: Told,
  job: RoundJob,
  settings: JsonObject,
  hearing: Hearing,
): Promise<ClusterCounts> {
  const own = await board(taking, told);
  try {
    const begun = await beginRun(own, taking.address, taking.secret, settings);
    told.info(`${begun === "new" ? "began" : "goes on with"} the run at ${taking.address.told}`);
    const { lag, copies, cluster_checkpoint: checkpoint } = taking;
    const events = eventsFor(told, hearing);
    const coordinator = new Coordinator(own, job, { lag, copies, checkpoint, signal: told.signal, events });
    await coordinator.run();
    return coordinator.counts;
  } finally {
    own.connection.close();
  }
}

/** Does tasks until the run is over; gives how many. */
export async function workFor(
  taking: Taking,
  told: Told,
  job: RoundJob,
  settings: JsonObject,
  hearing: Hearing,
): Promise<number> {
  const own = await board(taking, told);
  try {
    const { address, secret, lag, copies, wait } = taking;
    await awaitRun(own, address, secret, settings, { wait, signal: told.signal });
    const name = `${hostname()}-${process.pid}-${randomBytes(3).toString("hex")}`;
    told.info(`takes part as ${name} in the run at ${address.told}`);
    const events = eventsFor(told, hearing);
    const worker = new Worker(own, job, { name, lag, copies, wait, signal: told.signal, events });
    await worker.run();
    return worker.tasks;
  } finally {
    own.connection.close();
  }
}
