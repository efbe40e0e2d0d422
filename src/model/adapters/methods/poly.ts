/** Polytropon: tasks mix whole skills; --poly-splits above 1 makes it MHR. Ponti et al., 2022. */
import { skillsType } from "../skills.ts";

export const method = skillsType(
  {
    name: "poly",
    title: "Polytropon",
    about: "a few low-rank skills, which every task mixes by gates of its own",
    cite: "arXiv:2202.13914",
  },
  { rank: 8, skills: 4, splits: 1 },
);
