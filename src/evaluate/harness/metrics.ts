/** What the metrics of task files are, as lm-evaluation-harness defines them. */

interface TaskMetric {
  readonly about: string;
  readonly formula: string;
  readonly reads: string;
}

const METRICS = {
  acc: {
    about: "share of rows whose likeliest choice is right, or whose target greedy decoding gives",
    formula:
      "rows whose right choice has the largest sum of log-probabilities (of loglikelihood: whose target greedy decoding gives), divided by all rows",
    reads: "doc_to_text, doc_to_choice and doc_to_target of the task file",
  },
  acc_norm: {
    about: "the same, each choice's log-probability divided by its characters",
    formula: "rows whose right choice has the largest sum of log-probabilities per character, divided by all rows",
    reads: "doc_to_text, doc_to_choice and doc_to_target of the task file",
  },
  exact_match: {
    about: "share of rows whose answer is the target, after the filters of the task file",
    formula:
      "rows whose generated answer equals a target (of multiple_choice: whose right choice greedy decoding gives), divided by all rows",
    reads: "doc_to_text and doc_to_target, filter_list and the ignore keys of metric_list",
  },
  perplexity: {
    about: "exponential of the mean loss of a whole target",
    formula: "exp of minus the mean over rows of the log-probability of the target",
    reads: "doc_to_text and doc_to_target of the task file",
  },
  word_perplexity: {
    about: "how much a whole text surprises, per word",
    formula: "exp of minus the summed log-probability of all texts, divided by their words",
    reads: "doc_to_target of the task file",
  },
  byte_perplexity: {
    about: "how much a whole text surprises, per byte",
    formula: "exp of minus the summed log-probability of all texts, divided by their bytes in UTF-8",
    reads: "doc_to_target of the task file",
  },
  bits_per_byte: {
    about: "bits that a byte of a whole text takes",
    formula: "minus the summed log-probability of all texts in bits, divided by their bytes in UTF-8",
    reads: "doc_to_target of the task file",
  },
} as const satisfies Readonly<Record<string, TaskMetric>>;

/** A name in `metric_list`. */
export type TaskMetricName = keyof typeof METRICS;

/** By name. */
export const TASK_METRICS: Readonly<Record<string, TaskMetric>> = METRICS;

/** The same in sentences, for `--help all`. */
export const TASK_NOTES = `Metrics of task files (--task), each as the harness has it: ${Object.entries(TASK_METRICS)
  .map(([name, { about, formula }]) => `${name}, ${about}: ${formula}`)
  .join("; ")}. Of perplexities and bits lower is better, of the others higher.`;
