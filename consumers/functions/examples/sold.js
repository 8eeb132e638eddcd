// Says what was paid, all of it under one key, so that one function can add it up: nightly-report.js does.
//
//   factfold functions deploy sold.js
//   factfold functions bind sold --topic orders.events --type OrderPaid --from beginning
export default function (event) {
  return { events: [{ type: "Sold", subject: "sales", data: event.data.amount }] };
}
