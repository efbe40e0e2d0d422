/** Options of trainings that many processes share over a Redis server. */
import type { Options } from "../../method/options.ts";

export const CLUSTER = {
  cluster: {
    type: "string",
    decides: "nothing",
    secret: true,
    help: "Redis server and name of the run, over which workers share the work: redis://:PASSWORD@HOST/RUN, or rediss:// for TLS",
    value: "URL",
  },
  worker: {
    type: "boolean",
    default: false,
    decides: "nothing",
    needs: "cluster",
    help: "do tasks of the run, and write nothing; the same command without it hands tasks out and writes the result",
  },
  cluster_key: {
    type: "string",
    default: "CLUSTER_KEY",
    decides: "nothing",
    needs: "cluster",
    help: "environment variable with what messages are signed by; the password signs them where it is not set",
    value: "NAME",
  },
  lag: {
    type: "number > 0",
    default: 30,
    decides: "nothing",
    needs: "cluster",
    help: "seconds without a word after which a worker is dropped and its task is another's",
    value: "S",
  },
  copies: {
    type: "number.integer >= 1",
    default: 1,
    decides: "nothing",
    needs: "cluster",
    help: "workers that each task is given to; the first answer counts, so all but one may be slow (gradient coding by repetition)",
    value: "N",
  },
  cluster_checkpoint: {
    type: "number.integer >= 0",
    decides: "nothing",
    needs: "cluster",
    help: "rounds after which the state is put on the server and rounds before it are removed; 0: never. 64 when left out, or as many as the state has MiB",
    value: "K",
  },
  wait: {
    type: "number > 0",
    default: 300,
    decides: "nothing",
    needs: "cluster",
    help: "seconds for which Redis, and by a worker the run, may be away",
    value: "S",
  },
} as const satisfies Options;
