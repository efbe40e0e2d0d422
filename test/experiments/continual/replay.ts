import { type Bed, BedLab, type BedRun } from "../continual-bed.ts";
import { mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const BED: Bed = {
  stream: () => "glyphs --canvas 9 --shift 0 --noise 0.2 --stream pixels=1,2,3,4 --size 400",
  config: { model_type: "mlp", input_size: 81, hidden_sizes: [64], num_labels: 10 },
  line: "--epochs 3 --batch-size 20 --lr 1e-2",
  score: "accuracy",
};

function present(run: BedRun | undefined): BedRun {
  if (!run) throw new Error("a method of this study refused its bed");
  return run;
}

export const experiment = experimentOf({
  title: "Specialised, joint, sequential and replay over four tasks",
  about: `Four permutations of the pixels of ten digits, 400 rows each, and a perceptron with 64 hidden units. *Specialised* is a model for each
task; *joint* learns all rows mixed; *sequential* one task after the other; *replay* (\`er\`) the same with a reservoir of 40 rows, 2.5 % of
all, from which a share ρ of each batch is drawn. Accuracy on 200 other rows of each task after the last one. The cost is what new tasks
score less right after they were learnt.`,
  seeds: [1, 2, 3, 4, 5],
  tested: 1,
  long: true,
  figures: {
    "specialised, accuracy": {},
    "joint, accuracy": {},
    "sequential, accuracy": {},
    "replay ρ 0.1, accuracy": {},
    "replay ρ 0.3, accuracy": {},
    "replay ρ 0.5, accuracy": {},
    "sequential, forgetting": {},
    "replay ρ 0.1, forgetting": {},
    "replay ρ 0.3, forgetting": {},
    "replay ρ 0.5, forgetting": {},
    "replay ρ 0 − sequential, accuracy": { is: 0 },
    "replay ρ 0.3 − sequential, accuracy": { above: 0 },
    "joint − replay ρ 0.3, accuracy": { above: 0 },
    "replay ρ 0.3, cost on new tasks": {},
  },
  run: (seed) =>
    BedLab.on(BED, seed, async (lab) => {
      const alone: number[] = [];
      for (let task = 0; task < lab.tasks; task++) alone.push(present(await lab.run("seq", "", task)).metrics.average!);
      const joint = present(await lab.run("joint")).metrics;
      const sequential = present(await lab.run("seq")).metrics;
      const replay = async (ratio: number) =>
        present(await lab.run("er", `--buffer 40 --replay-ratio ${ratio}`)).metrics;
      const [none, tenth, third, half] = [await replay(0), await replay(0.1), await replay(0.3), await replay(0.5)];
      return {
        "specialised, accuracy": mean(alone),
        "joint, accuracy": joint.average!,
        "sequential, accuracy": sequential.average!,
        "replay ρ 0.1, accuracy": tenth.average!,
        "replay ρ 0.3, accuracy": third.average!,
        "replay ρ 0.5, accuracy": half.average!,
        "sequential, forgetting": sequential.forgetting!,
        "replay ρ 0.1, forgetting": tenth.forgetting!,
        "replay ρ 0.3, forgetting": third.forgetting!,
        "replay ρ 0.5, forgetting": half.forgetting!,
        "replay ρ 0 − sequential, accuracy": none.average! - sequential.average!,
        "replay ρ 0.3 − sequential, accuracy": third.average! - sequential.average!,
        "joint − replay ρ 0.3, accuracy": joint.average! - third.average!,
        "replay ρ 0.3, cost on new tasks": sequential.learning! - third.learning!,
      };
    }),
});
