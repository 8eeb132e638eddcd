// Says that a day is over, at midnight by the clock of Berlin, where nightly-report.js hears of it.
//
//   factfold functions deploy day-ended.js
//   factfold functions bind day-ended --topic functions.events --type FunctionTicked
//   factfold functions schedule day-ended --cron '0 0 * * *' --zone Europe/Berlin
export default function (event) {
  return { events: [{ type: "DayEnded", subject: "sales", data: { until: event.data.due } }] };
}
