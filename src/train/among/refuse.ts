/** What training among many refuses before any work. */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { flagOf, type Values } from "../../method/options.ts";
import type { Picks } from "../../method/picks.ts";
import type { RunContext, Work } from "../../run/training/technique.ts";
import type { TRAIN } from "../options.ts";

/** The command line of `train`. */
export interface AmongContext extends RunContext {
  readonly options: Values<typeof TRAIN>;
  readonly picks: Picks<typeof TRAIN>;
}

/** Options of a training that goes on in one place, each with why clients have no such thing. */
const ALONE = {
  resume: "rounds are not saved on the way",
  keep: "rounds are not saved on the way",
  best: "the server's weights are saved at the end alone",
  patience: "all rounds are run",
  sample_prompts: "models answer at the end of a training, and clients' trainings do not end",
  ema: "the average would be of each client's own weights",
  swa: "the average would be of each client's own weights",
  ternary: "clients would send matrices that are not yet rounded",
  precision: "scales of rounded matrices are no weights that clients exchange",
  denoisers: "texts are changed batch by batch, for one training",
  mixture: "a client has its own shares of the groups",
  prequential: "a client goes through its rows in its own order",
  schedule_search: "schedules are tried by one training",
  probe: "probes look at one training",
  log_fau: "units are counted of one training",
} as const;

/** Throws UserError for options that clients cannot have. */
export function refuseAmong({ options, picks }: AmongContext): void {
  const { clients, local_steps: most, local_least: least, client_times: times, clock, client_key: key } = options;
  const odd = Object.entries(ALONE).find(([name]) => {
    const value: unknown = Reflect.get(options, name);
    return value !== undefined && value !== false;
  });
  if (odd) throw new UserError(`${flagOf(odd[0])} does not go with --clients: ${odd[1]}`, "leave one of them out");
  const { method, values } = picks.federation[0]!;
  if (clock !== "rounds" && !method.late)
    throw new UserError(
      `--federation ${method.name} brings together what clients made of the same weights, and --clock ${clock} lets them be late`,
      "give --federation fedfix or afa, or leave out --clock",
    );
  if (times && times.length !== clients)
    throw new UserError(`--client-times has ${times.length} times for ${clients} clients`, "give one for each");
  if (times?.some((time) => !(time > 0))) throw new UserError(`--client-times ${times.join(",")}: times are above 0`);
  if (least !== undefined && least > (most ?? Number.POSITIVE_INFINITY))
    throw new UserError(`--local-least ${least} is more than --local-steps ${most}`, "turn them round");
  if (options.client_choice === "loss" && clock !== "rounds")
    throw new UserError(
      `--client-choice loss chooses clients for a round, and --clock ${clock} has none`,
      "leave one out",
    );
  if (options.client_order !== "plain" && options.pack)
    throw new UserError("--client-order draws rows one by one, and --pack joins them", "leave one of them out");
  if (options.client_split === "key" && key === undefined)
    throw new UserError("--client-split key needs the key", "give --client-key KEY");
  if (picks.optimizer[0]!.method.measured)
    throw new UserError(
      `--optimizer ${picks.optimizer[0]!.method.name} trains other weights than those it gives, and clients would send the former`,
      "choose another optimizer",
    );
  method.check?.(values);
}

/** Throws UserError for work that reaches beyond local steps. */
export function refuseWork({
  source,
  extra = [],
  updates = [],
  controllers = [],
  result,
  multiplier,
}: Work<Batch>): void {
  const what =
    (source && "makes batches of its own") ??
    (extra[0] && `trains ${extra[0].name} beside the model`) ??
    (result && "writes another model than it trains") ??
    (multiplier && "sets rates of its own") ??
    updates.find(({ end }) => end)?.name ??
    controllers.find(({ begin, after }) => begin || after)?.name;
  if (what !== undefined)
    throw new UserError(
      `an option changes the training in a way that clients cannot share: ${what}`,
      "leave out what goes with a single training, or --clients",
    );
}
