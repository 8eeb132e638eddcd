// One point for each whole unit of money that was paid. An order remembers its customer from its first event to its payment,
// and says what was earned under the customer's name: loyalty.js adds that up.
//
//   factfold functions deploy points-earned.js
//   factfold functions bind points-earned --topic orders.events --type OrderCreated --type OrderPaid --from beginning
export default function (event, { state }) {
  if (event.type === "OrderCreated") return { state: { customer: `user-${event.data.user_id}` } };
  const points = Math.floor(event.data.amount.amount / 100);
  const earned = { type: "PointsEarned", subject: state.customer, data: { order: event.subject, points } };
  return { state: null, events: [earned] };
}
