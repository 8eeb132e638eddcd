// A customer's points, and a level that goes with them. Its state is an aggregate: the events of one customer come in their
// order, and each counts once.
//
//   factfold functions deploy loyalty.js
//   factfold functions bind loyalty --topic functions.emitted --type PointsEarned --from beginning
const LEVELS = [[1000, "gold"], [100, "silver"], [0, "bronze"]];

export default function (event, { state }) {
  const points = (state?.points ?? 0) + event.data.points;
  const [, level] = LEVELS.find(([least]) => points >= least);
  const risen = level !== (state?.level ?? "bronze");
  const events = risen ? [{ type: "LevelReached", data: { level, points } }] : [];
  return { state: { points, level }, events };
}
