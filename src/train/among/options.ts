/** Options of `train --clients`: training among many, simulated in one process. */

import type { Options } from "../../method/options.ts";
import { CLOCKS } from "../../run/among/pace.ts";
import { CLUSTER } from "../../run/cluster/options.ts";

const IN_ORDER = { client_order: ["easy", "hard", "random"] } as const;
const OF_CLOCKS = { clock: CLOCKS.filter((clock) => clock !== "rounds") } as const;

export const AMONG = {
  clients: {
    type: "number.integer >= 1",
    help: "train by so many clients with rows of their own, whose weights a server brings together",
    value: "N",
  },
  federation: {
    type: "string",
    kind: "federation",
    default: "fedavg",
    needs: "clients",
    help: "what clients send and the server makes of it",
  },
  local_steps: {
    type: "number.integer >= 1",
    needs: "clients",
    help: "steps of a client in a round; --steps are those of all its rounds. One round when left out",
    value: "H",
  },
  local_least: {
    type: "number.integer >= 1",
    needs: "clients",
    help: "a client takes between this and --local-steps steps in a round, drawn by seed",
    value: "H",
  },
  client_split: {
    type: "'even' | 'dirichlet' | 'groups' | 'key'",
    default: "even",
    needs: "clients",
    help: "which client has which rows: dealt out, dealt out by class in uneven shares, a group of --data each, or by a key",
  },
  client_alpha: {
    type: "number > 0",
    default: 0.5,
    with: { client_split: "dirichlet" },
    help: "concentration of the shares: small ones give each client few classes",
    value: "ALPHA",
  },
  client_key: {
    type: "string",
    with: { client_split: "key" },
    help: "key of rows whose values are the clients",
    value: "KEY",
  },
  client_share: {
    type: "0 < number <= 1",
    default: 1,
    needs: "clients",
    help: "share of the clients that take part in a round, drawn by seed",
    value: "F",
  },
  client_choice: {
    type: "'drawn' | 'loss'",
    default: "drawn",
    needs: "client_share",
    help: "which clients these are: drawn, or those whose rows have the lowest losses at first and higher ones later",
  },
  client_order: {
    type: "'plain' | 'easy' | 'hard' | 'random'",
    default: "plain",
    needs: "clients",
    help: "which of a client's rows come in first in a round, by their losses under the server's weights; plain: all are in",
  },
  pace: {
    type: "'linear' | 'quadratic' | 'exponential' | 'log' | 'root' | 'step'",
    default: "linear",
    with: IN_ORDER,
    help: "how the share of the rows that are in grows",
  },
  pace_begin: {
    type: "0 < number <= 1",
    default: 0.2,
    with: IN_ORDER,
    help: "share at a round's first step",
    value: "F",
  },
  pace_end: {
    type: "0 < number <= 1",
    default: 0.8,
    with: IN_ORDER,
    help: "share of a round's steps after which all rows are in",
    value: "F",
  },
  client_state: {
    type: "'kept' | 'fresh'",
    default: "kept",
    needs: "clients",
    help: "whether a client's optimizer goes on where its last round ended, or begins anew in every round",
  },
  message_dtype: {
    type: "'f32' | 'bf16' | 'int8'",
    needs: "clients",
    help: "how clients send values: int8 with a scale for every 256; the method's choice when left out",
  },
  message_feedback: {
    type: "boolean",
    default: false,
    needs: "clients",
    help: "add to a client's message what rounding took from its last one",
  },
  clock: {
    type: "'rounds' | 'interval' | 'each' | 'buffer'",
    default: "rounds",
    needs: "clients",
    help: "when the server acts: when all of a round are there, at intervals, at each arrival, or when some have arrived",
  },
  client_times: {
    type: "number[]",
    with: OF_CLOCKS,
    help: "simulated time that a client's steps of a round take, one for each client; 1 when left out",
    value: "T",
  },
  clock_interval: {
    type: "number > 0",
    default: 1,
    with: { clock: "interval" },
    help: "time between two steps of the server",
    value: "T",
  },
  clock_buffer: {
    type: "number.integer >= 1",
    default: 2,
    with: { clock: "buffer" },
    help: "arrivals that the server waits for",
    value: "N",
  },
  ...CLUSTER,
  cluster: { ...CLUSTER.cluster, needs: "clients" },
} as const satisfies Options;
