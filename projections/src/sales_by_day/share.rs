//! How an amount that was given back is shared out among the lines of an order.

/// Shares an amount out in the proportion of these weights, to the unit: what is left over by rounding down goes to those who lost
/// most by it, the first of them first. The whole of the weights gives each its own.
pub(super) fn shared_out(amount: i64, weights: &[i64]) -> Vec<i64> {
    let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    if whole == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: i64| i128::from(amount) * i128::from(weight);
    let mut shares: Vec<i64> =
        weights.iter().map(|weight| i64::try_from(exact(*weight) / whole).unwrap_or(i64::MAX)).collect();
    let left = amount - shares.iter().sum::<i64>();
    let mut by_loss: Vec<usize> = (0..weights.len()).collect();
    by_loss.sort_by_key(|line| -(exact(weights[*line]) % whole));
    for line in by_loss.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        shares[line] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn nothing_is_lost_by_rounding() {
        assert_eq!(shared_out(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(shared_out(5, &[998, 2]), [5, 0]);
        assert_eq!(shared_out(0, &[1, 2]), [0, 0]);
        assert_eq!(shared_out(0, &[0, 0]), [0, 0]);
    }

    proptest! {
        #[test]
        fn shares_come_to_the_whole(weights in vec(0..1_000_000_i64, 1..20), part in 0.0..1.0_f64) {
            let whole: i64 = weights.iter().sum();
            let amount = (whole as f64 * part) as i64;
            let shares = shared_out(amount, &weights);
            prop_assert_eq!(shares.iter().sum::<i64>(), amount);
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(share <= weight);
            }
            prop_assert_eq!(shared_out(whole, &weights), weights);
        }
    }
}
