/**
 * What the `train` script does: cross-entropy on rows of text, tokens or labelled examples, or InfoNCE on pairs of
 * texts, which is cross-entropy among the texts of a batch (model/embedder.ts).
 */
import type { Checkpoint, LineageEntry } from "../checkpoint/checkpoint.ts";
import type { Context, Outcome } from "../cli/context.ts";
import { textOutput } from "../cli/output.ts";
import type { Batch } from "../data/batch.ts";
import type { Example } from "../data/examples.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { checkPgd } from "../run/adversarial/options.ts";
import { adversarialWork } from "../run/adversarial/training-work.ts";
import { expertStore } from "../run/expert-store.ts";
import { type ReadRows, readBatches } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import { chosenModulation } from "../run/training/gradient-rule.ts";
import { type HeldOutGroup, heldOutGroups, readHeldOut } from "../run/training/held-out.ts";
import { joinWork, type WorkPart } from "../run/training/join-work.ts";
import type { ChosenLoss, LabelLoss, OwnLoss } from "../run/training/label-loss.ts";
import { refuseGroups } from "../run/training/option-checks.ts";
import { runTraining } from "../run/training/run-training.ts";
import type { Built, Opened, Technique, TrainingData } from "../run/training/technique.ts";
import { trainAmong } from "./among/among.ts";
import { changedBatches } from "./batches/changed-batches.ts";
import { withDenoisers } from "./batches/denoisers.ts";
import { movesTexts } from "./batches/moved-texts.ts";
import { type ReadPlant, readPlant } from "./batches/plant.ts";
import { checkCredit, creditWork } from "./credit.ts";
import { matchWork, readOtherDomain } from "./domains/match.ts";
import { withGradientRules } from "./gradient-rules.ts";
import { type PerDomain, perDomain } from "./heads/domain-heads.ts";
import { holdEtf } from "./heads/etf-head.ts";
import { newFront } from "./heads/new-front.ts";
import { partHead } from "./heads/part-head.ts";
import { openPrivate, PrivateHead } from "./heads/private-head.ts";
import { expertShares, withShares } from "./layers/ewa.ts";
import { fauLog } from "./log-fau.ts";
import { certifiedWork, checkCertified } from "./losses/certified.ts";
import { checkDenoiser, heldOutRows } from "./losses/denoiser-data.ts";
import { openNumbers } from "./losses/kept-numbers.ts";
import { lossBalance } from "./losses/loss-balance.ts";
import { heldByScale, outputScale } from "./losses/output-scale.ts";
import { ownLoss } from "./losses/own-loss.ts";
import { checkSmooth, howMoved, isSmooth } from "./losses/smooth-adversarial.ts";
import { chosenLoss, learnsLabels, objectiveOf } from "./objective.ts";
import type { TRAIN } from "./options.ts";
import { checkPrequential, Prequential } from "./prequential.ts";
import { openProbes } from "./probing.ts";
import { homeostatOf } from "./schedules/homeostat.ts";
import { checkScheduleSearch } from "./schedules/schedule-search.ts";
import { searchedRate } from "./schedules/short-lives.ts";
import { shiftWarning } from "./shift-warning.ts";
import { shownRows } from "./shown-rows.ts";
import { withSmallNetworks } from "./widths/duo.ts";
import { withPredictors } from "./widths/ftwt.ts";
import { changesWidths, type WidthWork, widthWork } from "./widths/work.ts";

export type TrainContext = Context<typeof TRAIN>;

/** What was read: rows, and with --private-from an earlier model. */
interface Read extends TrainingData<Batch> {
  readonly source: ReadRows;
  readonly privateFrom: Checkpoint | undefined;
  /** With --schedule-search: held-out rows, by which schedules are judged. */
  readonly watched: readonly HeldOutGroup[];
  /** With --plant: its experiments. */
  readonly plant: ReadPlant | undefined;
  /** With --match-domain: rows of the other domain. */
  readonly otherDomain: readonly Example[] | undefined;
}

/** Throws UserError for options that do not go together. */
function checkOptions({ options, picks }: TrainContext): void {
  const { method } = picks.loss[0]!;
  const { name } = method;
  checkCredit(picks.credit[0]!, name, options);
  if (options.adversarial) checkPgd(options);
  checkCertified(options, method);
  changesWidths(options);
  checkSmooth(options, method);
  if (options.loss_balance !== "none" && (name !== "ce" || options.head === "sparse-etf"))
    throw new UserError(
      `--loss-balance ${options.loss_balance} weighs rows by their cross-entropy, and --${name === "ce" ? "head sparse-etf" : `loss ${name}`} trains by another loss`,
      "leave one of them out",
    );
  if ((method.embeds || method.whole) && options.accumulate > 1)
    throw new UserError(
      `--loss ${name} compares all ${method.embeds ? "pairs" : "rows"} of a step with each other, and --accumulate would part them`,
      "raise --batch-size in its place; --recompute makes room",
    );
  if (options.prompt_weight !== undefined && options.loss_balance !== "none")
    throw new UserError(
      `--prompt-weight and --loss-balance ${options.loss_balance} both say what rows weigh`,
      "leave one of them out",
    );
  if (options.prequential) checkPrequential(options);
  if (options.log_fau !== undefined && options.log === undefined)
    throw new UserError("--log-fau tells the log, and there is none", "give --log FILE");
  if (options.probe && options.log === undefined)
    throw new UserError("--probe tells the log, and there is none", "give --log FILE");
  if (options.schedule_search) checkScheduleSearch(options);
  if (options.schedule_search && options.precision !== undefined)
    throw new UserError(
      "--schedule-search tries schedules in f32, and --precision trains in other numbers",
      "leave one of them out",
    );
  if (options.schedule_search && (method.perRow || method.remembers))
    throw new UserError(
      `--schedule-search trains many times, and --loss ${name} remembers ${method.remembers ?? "what was seen of rows"}`,
      "leave one of them out",
    );
}

/** What learns how rows weigh, where it is asked for. Throws UserError where an adapter says it, too. */
async function balanceOf(built: Built, options: TrainContext["options"], seed: number) {
  if (options.loss_balance !== "awl") return undefined;
  if ((built.model.adapter?.stages?.focus ?? 1) > 1)
    throw new UserError(
      "--loss-balance awl learns what groups weigh, and the adapter weighs tokens that are marked",
      "leave one of them out",
    );
  return lossBalance(built, { pack: options.pack, seed, continues: options.lora_continue });
}

export function train(context: TrainContext): Promise<Outcome> {
  const { options, seed } = context;
  checkOptions(context);
  const loss = context.picks.loss[0]!;
  const embeds = loss.method.embeds?.(loss.values);
  const heads = perDomain(options);
  const front = partHead(options) ?? newFront(options);
  const small = withSmallNetworks(options);
  const asked = options.prequential ? { ...context, options: { ...options, shuffle: false, epochs: 1 } } : context;
  const technique: Technique<Batch, Read> = {
    script: "train",
    regresses: true,
    denoises: true,
    carrying: options,
    experts: expertStore(options, seed),
    embeds,
    changed: heads?.changed ?? front?.changed ?? withPredictors(options) ?? small ?? loss.method.changed?.(loss.values),
    ...(front ? { trains: front.trains } : {}),
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    shows: options.demos === undefined ? undefined : (described) => shownRows(context, described),
    data: (opened) => {
      checkDenoiser(loss, opened, options);
      return readData(options, opened);
    },
    read: ({ privateFrom: checkpoint }) => (checkpoint ? [{ checkpoint, role: "private_from" }] : []),
    work: async (built, { source, privateFrom, watched, plant, otherDomain }) => {
      const { model, tools } = built;
      refuseGroups(
        model,
        source.groups.map(({ name }) => name),
      );
      const balance = await balanceOf(built, options, seed);
      if (options.head === "etf") holdEtf(built, seed);
      const scaled = await outputScale(built, options);
      const moved = await adversarialWork(model, source, options, { seed, ...howMoved(options) });
      const changed = await changedBatches(context, built, source, plant);
      if (moved && changed.source)
        throw new UserError(
          "--adversarial moves the rows of batches, and another option changes which batches there are",
          "leave out --plant, --chain-forward, --prompt-drop and what else changes batches",
        );
      const second = await privateHead(built, options, privateFrom);
      const chosen = learnsLabels(loss, model, options) ? chosenLoss(loss, model, source, options) : undefined;
      const probing = await openProbes(context, source, built);
      const kept = context.dryRun ? undefined : openNumbers(chosen, textOutput);
      const own = await otherWork(context, built, source, { chosen, heads });
      const modulation = chosenModulation(context.picks.gradient_rule, model);
      const isOwn = (scaled ?? own) !== undefined;
      const texts = movesTexts(model, options, isOwn);
      const other = isOwn || options.head === "sparse-etf" || isSmooth(options);
      const homeostat = homeostatOf(options, { task: model.task, isOwn: other, seed });
      const parts = { loss, chosen, weigher: balance?.weigher, second: second?.head, modulation, texts, homeostat };
      const mean = scaled?.objective ?? own?.objective ?? objectiveOf(model, source, options, seed, parts);
      const extra = [balance, second, own].flatMap((part) => part?.extra ?? []);
      const { objective, updates } = withGradientRules(context, built, source, {
        ...{ objective: mean, extra, modulation, isOwn },
      });
      const searched = options.schedule_search
        ? await searchedRate(context, built, { source, objective, heldOut: watched })
        : undefined;
      const shares = expertShares(options, built);
      return joinWork(withShares(objective, shares), [
        shares && { extra: shares.parameters, updates: [shares] },
        homeostat && { controllers: [homeostat], multiplier: () => homeostat.level },
        searched && { controllers: [searched], multiplier: (step) => searched.multiplier(step, built.steps) },
        balance,
        second,
        matchWork(built, source, otherDomain, context),
        { updates: [...updates, ...(chosen?.numbers ? [chosen.numbers] : [])] },
        own && freeing(own),
        {
          controllers: [
            ...courseOf(loss, built.steps),
            ...shiftWarning(options, context),
            ...fauLog(options, source, { model, pad: tools?.tokenizer?.pad ?? 0 }, context),
          ],
        },
        probing,
        changed,
        moved,
        scaled && { free: scaled.free },
        kept && { end: kept.save, free: kept.discard },
        options.prequential ? prequentialPart() : undefined,
      ]);
    },
  };
  if (options.clients !== undefined) return trainAmong(context, technique);
  return runTraining(asked, technique);
}

/** What is read before any weight: rows, perhaps as tasks of denoisers, and what options name. */
const readData = async (options: TrainContext["options"], opened: Opened): Promise<Read> => ({
  ...(await withDenoisers(await readBatches(options, opened), options, opened, () =>
    heldOutGroups(options, opened.split),
  )),
  ...(await heldByScale(options, opened)),
  ...(opened.task === "denoiser" ? { heldOut: await heldOutRows(options, opened) } : {}),
  privateFrom: await openPrivate(options.private_from),
  plant: await readPlant(options, opened),
  otherDomain: await readOtherDomain(options, opened),
  watched: options.schedule_search
    ? await readHeldOut(heldOutGroups(options, opened.split), opened, options.batch_size)
    : [],
});

/** What an objective of its own brings, freed with the training. */
const freeing = (own: OwnLoss | WidthWork): WorkPart<Batch> => ({
  ...own,
  free() {
    for (const parameter of own.extra ?? []) parameter.free();
  },
});

/** What counts rows as they are answered before they are learnt. */
function prequentialPart(): WorkPart<Batch> {
  const stream = new Prequential();
  return { controllers: [stream], told: () => stream.told() };
}

/** A second head, which is written beside the result; undefined where none is asked for. */
async function privateHead(
  built: Built,
  { private_head: target }: TrainContext["options"],
  from: Checkpoint | undefined,
) {
  if (target === undefined) return undefined;
  const head = await PrivateHead.make(built, target, from);
  return {
    head,
    extra: head.parameters,
    end: (lineage: readonly LineageEntry[]) => head.save(target, built.files, lineage),
    free: () => head.free(),
  };
}

/** Gives programs the numbers of a loss that change with the steps. */
function courseOf({ method, values }: Bound<LabelLoss>, steps: number): Controller[] {
  const course = method.course?.(values);
  if (!course) return [];
  const numbers = (step: number) => course((step - 1) / steps);
  return [{ name: "loss", values: numbers, state: () => null, load: () => {} }];
}

/** What is trained in the place of the labels' loss alone; undefined where nothing is. */
async function otherWork(
  { picks, options, seed, out }: TrainContext,
  built: Built,
  source: ReadRows,
  { chosen, heads }: { readonly chosen: ChosenLoss | undefined; readonly heads: PerDomain | undefined },
): Promise<OwnLoss | WidthWork | undefined> {
  if (changesWidths(options)) return widthWork(built, options, { seed, out });
  const credit = creditWork(picks.credit[0]!, built.model, seed);
  if (credit) return credit;
  if (!chosen) return ownLoss(picks.loss[0]!, built, source, options, seed);
  const { model, steps, ref } = built;
  return certifiedWork(model, source, options, { loss: chosen, steps, ref }) ?? heads?.work(built, chosen);
}
