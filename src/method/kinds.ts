/** The kinds of methods, and where each kind's files are. The only list of kinds there is. */

/** The folders of each kind, below src/. */
export const FOLDERS = {
  merge: ["merge/methods"],
  post: ["merge/post-steps"],
  approximation: ["merge/approximations"],
  search: ["merge/searches"],
  adapt: ["adapt/methods/combinations"],
  continual: ["adapt/methods/continual"],
  "test-time": ["adapt/methods/test-time"],
  distill: ["distill/methods"],
  unlearn: ["unlearn/methods/objectives", "unlearn/methods/edits"],
  smoothing: ["unlearn/methods/smoothings"],
  control: ["align/methods/control"],
  align: ["align/methods/preferences", "align/methods/policies", "align/methods/reward-models", "align/methods/logged"],
  "pair-loss": ["align/methods/pair-losses"],
  "prompt-sampler": ["align/methods/prompt-samplers"],
  curriculum: ["curriculum/methods/samplers", "curriculum/methods/orderings"],
  selector: ["curriculum/methods/selectors"],
  preset: ["curriculum/methods/presets"],
  metric: ["evaluate/methods/metrics"],
  attack: ["evaluate/methods/attacks"],
  probe: ["evaluate/methods/probes"],
  adapter: ["model/adapters/methods"],
  "adapter-init": ["model/adapters/inits"],
  "gradient-rule": ["train/methods/gradient-rules"],
  optimizer: ["train/methods/optimizers"],
  schedule: ["train/methods/schedules"],
  loss: ["train/methods/losses"],
  credit: ["train/methods/credits"],
  "training-probe": ["train/methods/probes"],
  verifier: ["align/methods/verifiers"],
  task: ["data/tasks"],
  corruption: ["data/corruptions"],
  architecture: ["model/architectures"],
} as const satisfies Record<string, readonly string[]>;

export type Kind = keyof typeof FOLDERS;
