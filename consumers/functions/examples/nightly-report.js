// Reports each night what was sold since the last report: sold.js says what, day-ended.js when it is over. What is heard of only
// after midnight is in the next one.
//
//   factfold functions deploy nightly-report.js
//   factfold functions bind nightly-report --topic functions.emitted --type Sold --type DayEnded --from beginning
export default function (event, { state }) {
  const { orders, totals } = state ?? { orders: 0, totals: {} };
  if (event.type === "Sold") {
    const { amount, currency } = event.data;
    return { state: { orders: orders + 1, totals: { ...totals, [currency]: (totals[currency] ?? 0) + amount } } };
  }
  return { state: null, events: [{ type: "SalesReported", data: { ...event.data, orders, totals } }] };
}
