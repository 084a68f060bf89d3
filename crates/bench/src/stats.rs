//! Medians and pairs.

use anyhow::Result;

/// What one run of one side came to: each number under the name of its metric.
pub(crate) type Sample = Vec<(&'static str, f64)>;

/// Runs both sides `pairs` times, the one that begins changing from pair to pair, so that a drift of the machine
/// falls on both alike.
pub(crate) fn in_pairs(
    pairs: usize,
    mut ours: impl FnMut() -> Result<Sample>,
    mut peers: impl FnMut() -> Result<Sample>,
) -> Result<Vec<(Sample, Sample)>> {
    let mut all = Vec::with_capacity(pairs);
    for n in 0..pairs {
        let pair = if n % 2 == 0 {
            let ours = ours()?;
            (ours, peers()?)
        } else {
            let peer = peers()?;
            (ours()?, peer)
        };
        eprintln!("bench:   pair {} of {pairs}: ours {:.1?}, peer {:.1?}", n + 1, pair.0, pair.1);
        all.push(pair);
    }
    Ok(all)
}

/// The middle value (the mean of the two middle ones); 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

/// The number of that name.
pub(crate) fn value(sample: &Sample, metric: &str) -> f64 {
    sample.iter().find(|(name, _)| *name == metric).map_or(f64::NAN, |(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn the_side_that_begins_changes() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: &'static str| {
            let order = &order;
            move || {
                order.borrow_mut().push_str(name);
                Ok(vec![("n", 1.0)])
            }
        };
        assert_eq!(in_pairs(3, side("o"), side("p")).unwrap().len(), 3);
        assert_eq!(*order.borrow(), "oppoop");
    }
}
